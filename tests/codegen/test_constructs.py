"""Test rare constructs of C++: each is read as a compiler lays it out."""

from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from codegen.compiler import NoCompilerError, check_layouts
from codegen.reader import read

FRIENDS = """
struct s_Friend {
  uint16_t Size = sizeof(s_Friend);
  uint16_t Type = 21;
  friend struct s_Other;
  friend bool operator<(const s_Friend& a, const s_Friend& b) { return a.Size < b.Size; }
  explicit operator int() const { return '{'; }
  auto text() const -> const char* { return R"(})"; }
  int32_t Last = -1;
};
"""
TAG = """
typedef struct tag_Second { unsigned short Size, Type; double D; } s_Second, *p_Second;
inline void Second_init(s_Second &m) { memset(&m, 0, sizeof m); m.Type = 22; m.D = 2.5; }
"""
USING = """
namespace A { namespace B {
enum class Kind : unsigned char { NONE, SOME = 'c', MORE = (1 << 3) | 1 };
} using namespace B;
constexpr uint16_t FIRST{23}, SECOND{1'000}, THIRD = 7;
struct s_Using { uint16_t Size{sizeof(s_Using)}; uint16_t Type{FIRST}; Kind K = Kind::MORE; int N = SECOND; };
}
"""
UNIONS = """
#pragma pack(push)
#pragma pack(2)
struct s_Union {
  uint16_t Size = sizeof(*this);
  uint16_t Type = 24;
  union { struct { uint8_t Low, High; }; uint16_t Both; union { float F; uint32_t Bits; } Inner; } U;
  struct Pair { int32_t X; double Y; } P[2], Q;
  char Names[2][3];
};
#pragma pack(pop)
"""
TEMPLATES = """
namespace A {
struct Empty {};
template <class T, class U> struct s_Both { uint16_t Size = sizeof(s_Both); uint16_t Type = 25; T First; U Second; };
struct s_Pair : s_Both<uint8_t, double> { int8_t Third = 3; };
}
"""


class ConstructTests(SynchronousTestCase):
    def check(self, text: str, message: str, fields: Mapping[str, tuple[str, int, object]]) -> None:
        """Check the one message of a header: its name and its fields' types, offsets and first values.

        A compiler, if there is one, must agree.
        """
        path = Path(self.mktemp() + ".h")
        path.write_text(f"#include <cstdint>\n#include <cstring>\n{text}")
        protocol = read(path)
        [found] = protocol.messages
        self.assertEqual(f"{found.struct} {found.number}", message)
        self.assertEqual(
            {each.name: (each.type, each.offset, each.default and each.default.value) for each in found.body}, fields
        )
        self.assertEqual([str(each) for each in protocol.findings if not each.explained], [])
        try:
            self.assertGreater(check_layouts([path], protocol.layouts), 4)
        except NoCompilerError as error:
            if "there is no" not in str(error):
                raise
            raise SkipTest(str(error)) from error

    def test_friends_and_operators(self) -> None:
        self.check(FRIENDS, "s_Friend 21", {"Last": ("int32_t", 4, -1)})

    def test_the_name_of_a_message_and_its_tag(self) -> None:
        self.check(TAG, "s_Second 22", {"D": ("double", 8, 2.5)})

    def test_using_a_namespace_beside(self) -> None:
        self.check(USING, "s_Using 23", {"K": ("Kind", 4, 9), "N": ("int32_t", 8, 1000)})

    def test_unions(self) -> None:
        fields = {
            "Low": ("uint8_t", 4, None),
            "High": ("uint8_t", 5, None),
            "Both": ("uint16_t", 4, None),
            "F": ("float", 4, None),
            "Bits": ("uint32_t", 4, None),
            "P": ("Pair", 8, None),
            "Q": ("Pair", 32, None),
            "Names": ("int8_t", 44, None),
        }
        self.check(UNIONS, "s_Union 24", fields)

    def test_templates_with_two_arguments(self) -> None:
        fields = {"First": ("uint8_t", 4, None), "Second": ("double", 8, None), "Third": ("int8_t", 16, 3)}
        self.check(TEMPLATES, "s_Pair 25", fields)
