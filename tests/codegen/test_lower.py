"""Test each rewrite from a header's text to C, and the preprocessor."""

from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from codegen.functions import Functions
from codegen.lower import (
    Lowering,
    drop_attributes,
    drop_conversions,
    join_scopes,
    lower_enums,
    spell_in_c,
)
from codegen.preprocess import Preprocessor, blank_comments, join_lines
from codegen.rewrites import lower_members, lower_scopes
from codegen.source import Finding, HeaderError, Tokens, decode, render, scan
from codegen.templates import Templates


def lowered(rewrite: Callable[[Tokens, str], Tokens], text: str) -> str:
    """Return the result of a rewrite, with all white space replaced by one space."""
    return render(rewrite(scan(text), "h")).rstrip("\n")


def functions(tokens: Tokens, file: str) -> Tokens:
    return Functions().lower(tokens, file)


class TextTests(SynchronousTestCase):
    def test_comments_leave_their_lines(self) -> None:
        self.assertEqual(blank_comments("a /* 1\n2 */ b // c\nd", "h"), "a  \n b  \nd")

    def test_comment_marks_in_text_stay(self) -> None:
        self.assertEqual(blank_comments('"/* \\" //" // x', "h"), '"/* \\" //"  ')
        self.assertEqual(blank_comments("'\"' /* \" */ 'a'", "h"), "'\"'   'a'")

    def test_comment_with_an_apostrophe(self) -> None:
        self.assertEqual(blank_comments("a // don't\nb // it's\nc", "h"), "a  \nb  \nc")

    def test_digits_apart(self) -> None:
        self.assertEqual(blank_comments("1'000; // 'x\nb", "h"), "1'000;  \nb")

    def test_comment_without_end(self) -> None:
        error = self.assertRaises(HeaderError, blank_comments, "a\n\n/* b\n", "dtc.h")
        self.assertEqual(str(error), "dtc.h:3: this comment does not end")

    def test_joined_lines_leave_their_lines(self) -> None:
        self.assertEqual(join_lines("a \\\n b \\ \nc\nd", "h"), "a   b  c\n\n\nd")

    def test_encodings(self) -> None:
        path = Path(self.mktemp())
        for data in (b"\xef\xbb\xbfa\xc3\xa9\r\nb", "a\xe9\nb".encode("latin-1"), "a\xe9\r\nb".encode("utf-16")):
            path.write_bytes(data)
            self.assertEqual(decode(path), "a\xe9\nb")


class PreprocessorTests(SynchronousTestCase):
    def run_text(self, text: str) -> str:
        return render(Preprocessor().run(text, "h").tokens).rstrip("\n")

    def test_branches(self) -> None:
        text = "#ifdef A\na\n#elif defined(B) || 1\nb\n#elif 1\nc\n#else\nd\n#endif\ne"
        self.assertEqual(self.run_text(text), "\n\n\nb\n\n\n\n\n\ne")

    def test_nested_branches(self) -> None:
        text = "#if 0\n#if 1\na\n#else\nb\n#endif\n#else\nc\n#endif"
        self.assertEqual(self.run_text(text).split(), ["c"])

    def test_conditions(self) -> None:
        cases = {
            "1": True,
            "0": False,
            "!defined X": True,
            "VERSION >= 4 && VERSION < 5": True,
            "VERSION * 2 == 8": True,
            "(VERSION & 3) != 0": False,
            "UNKNOWN": False,
            "defined(__cplusplus) && __cplusplus > 201100L": True,
            "__has_include(<span>)": False,
            "0x10 == 16u": True,
        }
        for condition, holds in cases.items():
            found = self.run_text(f"#define VERSION 4\n#if {condition}\na\n#endif").split()
            self.assertEqual(bool(found), holds, condition)

    def test_inactive_directives_do_nothing(self) -> None:
        self.assertEqual(self.run_text("#if 0\n#error no\n#define A b\n#include <x>\n#endif\nA"), "\n\n\n\n\nA")

    def test_macros(self) -> None:
        cases = {
            "#define HEAD uint16_t Size; uint16_t Type\nHEAD;": "uint16_t Size ; uint16_t Type ;",
            "#define F(A, B) A ## _ ## B B\nF(x, y)": "x_y y",
            "#define F(A) #A\nF(x y)": '"x y"',
            "#define F(A, ...) A(__VA_ARGS__)\nF(a, b, c)": "a ( b , c )",
            "#define F(A) A\n#define G F(x)\nG F": "x F",
            "#define A A b\nA": "A b",
            "#define A b\n#undef A\nA": "A",
            "#define F() x\nF()": "x",
            "#define A b\nA\n#define A c\nA": "b\n\nc",
            "#define F(A) A\nF((1, 2))": "( 1 , 2 )",
        }
        for text, result in cases.items():
            self.assertEqual(self.run_text(text).lstrip("\n"), result, text)

    def test_macro_over_lines(self) -> None:
        self.assertEqual(self.run_text("#define F(A, B) A B\nF(x,\n  y)\nz"), "\nx y\n\nz")

    def test_wrong_number_of_arguments(self) -> None:
        error = self.assertRaises(HeaderError, self.run_text, "#define F(A) A\n\nF(1, 2)")
        self.assertEqual(str(error), "h:3: F takes 1 arguments, not 2")

    def test_numbers_stay_names(self) -> None:
        done = Preprocessor().run("#define A 5\n#define B (A * 2)\n#define C x\nA B C", "h")
        self.assertEqual((done.numbers[0].line, done.numbers[0].body), (1, ("5",)))
        self.assertEqual([each.name for each in done.numbers], ["A", "B"])
        self.assertEqual(render(done.tokens).split(), ["A", "B", "x"])

    def test_number_defined_twice(self) -> None:
        self.run_text("#define A 5\n#define A 5")
        error = self.assertRaises(HeaderError, self.run_text, "#define A 5\n#define A 6")
        self.assertEqual(str(error), "h:2: A is defined twice")

    def test_pragmas(self) -> None:
        self.assertEqual(self.run_text("#pragma once\n# pragma pack(push, 1)\n"), '\n_Pragma("pack(push, 1)")')

    def test_missing_file_is_a_finding(self) -> None:
        done = Preprocessor().run('#include <any.h>\n#include "none.h"', "h")
        what = 'cannot include "none.h": no such file beside it'
        self.assertEqual(done.findings, [Finding("h", 2, what, explained=False)])


class RewriteTests(SynchronousTestCase):
    def check(self, rewrite: Callable[[Tokens, str], Tokens], cases: dict[str, str]) -> None:
        for text, result in cases.items():
            self.assertEqual(lowered(rewrite, text), result, text)

    def test_join_scopes(self) -> None:
        self.check(join_scopes, {
            "A::B c": "A$$B c",
            "A :: B::C\nd": "A$$B$$C\nd",
            "= ::A::B;": "= $$A$$B ;",
            "std::uint8_t x": "uint8_t x",
            "a ? b : c": "a ? b : c",
        })  # fmt: skip

    def test_drop_attributes(self) -> None:
        self.check(drop_attributes, {
            "[[nodiscard]] int a[2];": "int a [ 2 ] ;",
            "inline int f() noexcept(true) override;": "int f ( ) ;",
            '_Pragma("pack(push, 1)") int a;': '_Pragma("pack(push, 1)") int a ;',
            "__pragma(pack(pop))": '_Pragma("pack(pop)")',
            "inline namespace v8 { }": "namespace { }",
            "struct A final { };": "struct A { } ;",
        })  # fmt: skip
        for word in ("alignas(8)", "__attribute__((packed))", "__declspec(align(4))"):
            error = self.assertRaises(HeaderError, lowered, drop_attributes, f"\nstruct {word} A {{ }};")
            self.assertEqual(error.line, 2)

    def test_spell_in_c(self) -> None:
        self.check(spell_in_c, {
            "unsigned __int16 a; __int64 b;": "unsigned short a ; long long b ;",
            "constexpr auto A = 1;": "const int A = 1 ;",
            "= static_cast<uint16_t>(A);": "= ( A ) ;",
            "= numeric_limits<double>$$max();": "= DBL_MAX ;",
            "= -numeric_limits < int32_t > $$max ( ) ;": "= - INT32_MAX ;",
            "class A;": "struct A ;",
        })  # fmt: skip
        self.assertRaises(HeaderError, lowered, spell_in_c, "numeric_limits<s_X>$$max()")

    def test_functions(self) -> None:
        self.check(functions, {
            "int f(int a);": "",
            "int f()\n{ if (x) { y(); } }\nint a;": "\n\nint a ;",
            "struct A { int a; int f() const; int b; };": "struct A { int a ; int b ; } ;",
            "struct A { A() = default; ~A(); A(const A&) = delete; int a; };": "struct A { int a ; } ;",
            "struct A { bool operator()(int) const { return 1; } int a; };": "struct A { int a ; } ;",
            "template <class T> T f(T a) { return a; }": "",
            "struct A { int a; void Set(int x) { a = x; } };": "struct A { int a ; } ;",
        })  # fmt: skip

    def test_values_that_functions_give(self) -> None:
        self.check(functions, {
            "struct A { int a; A() { a = 1; } };": "struct A { int a ; int a : assigned ( 1 ) ; } ;",
            "struct A { int a; void Clear() { a = 1; } };": "struct A { int a ; int a : assigned ( 1 ) ; } ;",
            "struct A { int a; A() : a(1), b{2} { } };": (
                "struct A { int a ; int a : assigned ( 1 ) ; int b : assigned ( 2 ) ; } ;"
            ),
            "struct A { int Type; void Init() { this->Type = 4; } };": (
                "struct A { int Type ; int Type : assigned ( 4 ) ; } ;"
            ),
            "struct A { A() { memset(this, 0, sizeof(A)); } };": "struct A { int $cleared : assigned ( ) ; } ;",
            'struct A { A() { strncpy(a, "x", 3); } };': 'struct A { int a : assigned ( "x" ) ; } ;',
            'struct A { A() { SetName("x"); } };': 'struct A { int Name : assigned ( "x" ) ; } ;',
            "void A_init(struct A *m) { m->Type = 3; m->x = 1; }": (
                "struct A { int Type : assigned ( 3 ) ; int x : assigned ( 1 ) ; } ;"
            ),
            "void A$$Clear() { Type = 3; }": "struct A { int Type : assigned ( 3 ) ; } ;",
            "A$$A() { Type = 3; }": "struct A { int Type : assigned ( 3 ) ; } ;",
            "void Other(struct A *m) { m->x = 1; }": "",
        })  # fmt: skip

    def test_statement_that_is_not_understood(self) -> None:
        functions = Functions()
        functions.lower(scan("struct A { int a;\nA() { Other(1, 2);\nif (x) a = 1; } };"), "h")
        self.assertEqual(
            list(map(str, functions.findings)),
            ["h:2: not understood in A(): Other ( 1 , 2 )", "h:3: not understood in A(): if ( x ) a = 1"],
        )

    def test_text_that_is_copied_to_no_field(self) -> None:
        functions = Functions()
        functions.lower(scan('struct A { int a; A() { strcpy((char*)&a, "x"); } };'), "h")
        self.assertEqual(len(functions.findings), 1)

    def test_methods_that_a_constructor_calls(self) -> None:
        self.check(functions, {
            "struct A { A() { Clear(); b = 2; } void Clear() { a = 1; Unset(); } void Unset() { c = 3; } };": (
                "struct A { int a : assigned ( 1 ) ; int c : assigned ( 3 ) ; int b : assigned ( 2 ) ; } ;"
            ),
            "struct A { A() { b = 2; } void Clear() { Type = 1; } void Never() { c = 3; } };": (
                "struct A { int b : assigned ( 2 ) ; int Type : assigned ( 1 ) ; } ;"
            ),
            "struct A { A() { A(); } };": "struct A { } ;",
        })  # fmt: skip

    def test_method_that_no_header_defines(self) -> None:
        given = Functions()
        given.lower(scan("struct A { A() { Type = 1;\nUnset(); } void Unset(); };"), "h")
        given.report_calls()
        (finding,) = given.findings
        self.assertTrue(finding.explained)
        self.assertEqual(
            str(finding), "h:2: struct A starts with values that Unset() gives, which is not in the headers"
        )

    def test_method_that_another_file_defines(self) -> None:
        given = Functions()
        given.lower(scan("struct A { A() { Type = 1; Unset(); } void Unset(); };"), "a.h")
        text = render(given.lower(scan("void N$$A$$Unset() { b = 2; }"), "a.cpp")).strip()
        given.report_calls()
        self.assertEqual((text, given.findings), ("struct N$$A { int b : assigned ( 2 ) ; } ;", []))

    def test_virtual_function(self) -> None:
        error = self.assertRaises(HeaderError, lowered, functions, "struct A {\nvirtual ~A(); };")
        self.assertEqual(str(error), "h:2: a virtual function in A changes its layout: not understood")

    def test_enums(self) -> None:
        self.check(lower_enums, {
            "enum A : uint8_t { B };": "enum A { $underlying = sizeof ( uint8_t ) , B } ;",
            "enum struct A { B };": "enum A { $scoped = 1 , B } ;",
            "enum struct A : int { B };": "enum A { $underlying = sizeof ( int ) , $scoped = 1 , B } ;",
            "enum { B = 1 };": "enum { B = 1 } ;",
            "enum A : int;": "enum A ;",
            "enum A a : 3;": "enum A a : 3 ;",
        })  # fmt: skip

    def test_members(self) -> None:
        self.check(lower_members, {
            "struct A { int a = 1; };": "struct A { int a : initial ( 1 ) ; } ;",
            "struct A { int a{1}, b = 2, c[3] = {}; };": (
                "struct A { int a : initial ( 1 ) , b : initial ( 2 ) , c [ 3 ] : initial ( ) ; } ;"
            ),
            "struct A { static const int N = 3; };": "struct A { int N : constant ( 3 ) ; } ;",
            "struct A { static int n; };": "struct A { } ;",
            "struct A { using T = int; typedef char C; };": "struct A { int T : named ( ) ; char C : named ( ) ; } ;",
            "struct A { public: const int a; friend B; };": "struct A { int a ; } ;",
            "struct A { struct { int x; } y[2] = {}; };": "struct A { struct { int x ; } y [ 2 ] ; } ;",
            "struct A { union { int x = 1; }; };": "struct A { union { int x : initial ( 1 ) ; } ; } ;",
            "int a = 1;": "int a = 1 ;",
        })  # fmt: skip

    def test_conversions(self) -> None:
        for text, result in {
            "a = t_X(0);": "a = ( 0 ) ;",
            "a = t_X{};": "a = { } ;",
            "t_X f(t_X a);": "t_X f ( t_X a ) ;",
        }.items():
            self.assertEqual(render(drop_conversions(scan(text), {"t_X"})).strip(), result)

    def test_scopes(self) -> None:
        self.check(lower_scopes, {
            "namespace A { int a; }": "struct $open$$A ; int a ; struct $close ;",
            "namespace A$$B {\n}": "struct $open$$A$$B ;\nstruct $close ;",
            "namespace { int a; }": "int a ;",
            'extern "C" { int a; }': "int a ;",
            "using namespace A;": "struct $using$$A ;",
            "using A$$b;": "struct $alias$$A$$b ;",
            "using int16_t;": "",
            "using A = int;": "typedef int A ;",
            "const int a{5};": "const int a = 5 ;",
            "static_assert(sizeof(A) == 3); ;": "",
        })  # fmt: skip

    def test_templates(self) -> None:
        base = "template < int N > struct H { int Type = N ; } ; "
        cases = {
            base + "struct A : H < 3 > { int a ; } ;": "struct A { int Type = 3 ; int a ; } ;",
            base
            + "struct A : public H < 3 > , private B$$H < 4 > { } ;": "struct A { int Type = 3 ; int Type = 4 ; } ;",
            base + "using A = H < 3 > ;": "struct A { int Type = 3 ; } ;",
            base + "typedef H < 3 > A ;": "struct A { int Type = 3 ; } ;",
            base + "template struct H < 3 > ;": "struct H$3 { int Type = 3 ; } ;",
            base + "template < > struct H < 4 > { int b ; } ;": "struct H$4 { int b ; } ;",
            "template < class D , int N = 2 > struct H { int s = sizeof ( D ) + N ; } ; struct A : H < A > { } ;": (
                "struct A { int s = sizeof ( A ) + 2 ; } ;"
            ),
            "struct B { int b ; } ; struct A : B { int a ; } ;": (
                "struct B { int b ; } ; struct A { int b ; int a ; } ;"
            ),
        }
        for text, result in cases.items():
            self.assertEqual(render(Templates()(scan(text), "h", [])).strip(), result, text)

    def test_template_that_nothing_uses(self) -> None:
        findings: list[Finding] = []
        Templates()(scan("\ntemplate <int N> struct H { int Type = N; };"), "h", findings)
        self.assertEqual(len(findings), 1)
        self.assertIn("h:2: class template H is used by no struct", str(findings[0]))

    def test_types_are_declared_on_the_first_line(self) -> None:
        text = Lowering()("struct A { };\nnamespace N { enum E { X }; }\nN::E e;", "h").text
        first, _, third = text.rstrip("\n").split("\n")
        self.assertTrue(first.startswith("typedef struct $type A, E, N$$E, bool, byte, int16_t,"), first)
        self.assertTrue(first.endswith("uint8_t; struct A { } ;"), first)
        self.assertEqual(third, "N$$E e ;")
