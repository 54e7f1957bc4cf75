"""Write headers from a small model of a protocol, in each dialect of the official headers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from codegen.model import SCALARS, Field, Protocol


@dataclass(frozen=True)
class Member:
    """State a field. `kind` is a C type, an enum's name or "text"; `length` is a number or a constant's name."""

    name: str
    kind: str
    length: int | str = 0
    default: int | float | str | None = None
    count: int = 0
    union: bool = False


@dataclass(frozen=True)
class Struct:
    name: str
    number_name: str
    number: int
    members: tuple[Member, ...] = ()


@dataclass(frozen=True)
class Header:
    """Hold a protocol. `enums` are (name, underlying type, members); `lengths` are constants."""

    structs: tuple[Struct, ...]
    enums: tuple[tuple[str, str, dict[str, int]], ...] = ()
    lengths: dict[str, int] = field(default_factory=dict)
    pack: int = 8


NOISE = """\
/* { a comment with a brace, and "a quote
   struct s_Comment { uint16_t Size; };
#define IN_A_COMMENT 5 */
// } another one '
"""

GETTERS = """\
        uint16_t GetMessageSize() const;
        void CopyFrom(void * p_SourceData);
        const char* GetText() const { if (Size < 8) { return "{"; } return "}"; }
        void SetText(const char* NewValue);
"""


def _declared(member: Member, types: Callable[[str], str] = str) -> str:
    if member.kind == "text":
        return f"char {member.name}[{member.length}]"
    array = f"[{member.count}]" if member.count else ""
    return f"{types(member.kind)} {member.name}{array}"


def _value(member: Member) -> str:
    if isinstance(member.default, str) and member.kind == "text":
        return f'"{member.default}"'
    return str(member.default)


def _members(struct: Struct, write: Callable[[Member], str], indent: str = "        ") -> str:
    """Return the fields of a struct. Fields of the union are adjacent."""
    lines, union = [], []
    for member in struct.members:
        if member.union:
            union.append(f"{indent}    {write(member)}")
            continue
        lines.append(f"{indent}{write(member)}")
    if union:
        lines += [f"{indent}union", f"{indent}{{", *union, f"{indent}}};"]
    return "".join(line + "\n" for line in lines)


def _assignments(struct: Struct, before: str) -> str:
    lines = []
    for member in struct.members:
        if member.default is None:
            continue
        if member.kind == "text":
            lines.append(f"strncpy({before}{member.name}, {_value(member)}, sizeof({before}{member.name}) - 1);")
        else:
            lines.append(f"{before}{member.name} = {_value(member)};")
    return "".join(f"            {line}\n" for line in lines)


def _enums(header: Header, types: Callable[[str], str], one_line: bool = False) -> str:
    parts = []
    for name, underlying, members in header.enums:
        listed = [f"{each} = {number}" for each, number in members.items()]
        if one_line:
            parts.append(f"    enum {name} : {types(underlying)} {{ {', '.join(listed)} }};\n")
        else:
            parts.append(f"    enum {name} : {types(underlying)}\n    {{ " + "\n    , ".join(listed) + "\n    };\n")
    return "".join(parts)


def plain_c(header: Header) -> str:
    """Write the dialect of 2014: #define constants, a macro as the head of each struct, functions that fill a struct.

    Enums are ints.
    """
    text = '#ifndef __DTC_H__\n#define __DTC_H__\n#ifdef __cplusplus\nextern "C" {\n#endif\n#include <stdint.h>\n'
    text += NOISE + f"#pragma pack({header.pack})\n"
    text += "".join(f"#define {name}      {value}\n" for name, value in header.lengths.items())
    text += "".join(f"#define {each.number_name}   {each.number}\n" for each in header.structs)
    for name, _, values in header.enums:
        listed = ",\n    ".join(f"{each} = {number}" for each, number in values.items())
        text += f"enum {name} {{\n    {listed}\n}};\n"
    text += "#define MESSAGE_HEAD uint16_t Size; uint16_t Type\n#define TYPE_OF(x) (struct s_Head*)(x)->Type\n"
    for each in header.structs:
        members = _members(each, lambda member: _declared(member) + ";", "    ")
        text += f"struct s_{each.name} {{\n    MESSAGE_HEAD;\n{members}}};\n"
        text += (
            f"void {each.name}_init(struct s_{each.name} *msg)\n{{\n    memset(msg, 0, sizeof(struct s_{each.name}));\n"
        )
        text += f"    msg->Type = {each.number_name};\n    msg->Size = sizeof(struct s_{each.name});\n"
        text += _assignments(each, "msg->") + "}\n"
    return text + "#ifdef __cplusplus\n}\n#endif\n#endif\n"


MICROSOFT = {
    "uint8_t": "unsigned char",
    "int8_t": "signed char",
    "uint16_t": "unsigned __int16",
    "int16_t": "short",
    "uint32_t": "unsigned int",
    "int32_t": "__int32",
    "uint64_t": "unsigned __int64",
    "int64_t": "__int64",
}


def constructors(header: Header) -> str:
    """Write the dialect of 2015: Microsoft's types, a constructor in each struct that sets values other than 0."""
    types: Callable[[str], str] = lambda kind: MICROSOFT.get(kind, kind)  # noqa: E731
    text = f"#pragma once\n{NOISE}namespace DTC\n{{\n#pragma pack({header.pack})\n"
    text += "".join(f"    const __int32 {name}= {value};\n" for name, value in header.lengths.items())
    text += "".join(f"    const unsigned __int16 {each.number_name} = {each.number};//it\n" for each in header.structs)
    text += _enums(header, types)
    for each in header.structs:
        text += f"    struct s_{each.name}\n    {{\n        unsigned __int16 Size;\n        unsigned __int16 Type;\n"
        text += _members(each, lambda member: _declared(member, types) + ";")
        text += f"        s_{each.name}()\n        {{\n            memset(this, 0,sizeof(s_{each.name}));\n"
        text += f"            Type={each.number_name};\n            Size=sizeof(s_{each.name});\n"
        text += _assignments(each, "") + "        }\n" + GETTERS.replace("uint16_t", types("uint16_t")) + "    };\n"
    return text + "}\n"


def clear(header: Header) -> str:
    """Write the dialect of 2016: a Clear() that the constructor calls."""
    text = "#pragma once\n#include <cstdint>\nusing std::int16_t;\ntypedef unsigned char uint8_t;\n"
    text += f"namespace DTC\n{{\n#pragma pack(push, {header.pack})\n{NOISE}"
    text += "".join(f"    const int32_t {name} = {value};\n" for name, value in header.lengths.items())
    text += "".join(f"    const uint16_t {each.number_name} = {each.number};\n" for each in header.structs)
    text += _enums(header, str, one_line=True)
    text += "    inline const char* GetName(int X)\n    {\n"
    text += '        switch (X) { case 1: return "{"; default: return ""; }\n    }\n'
    for each in header.structs:
        text += f"    struct s_{each.name}\n    {{\n        uint16_t Size;\n        uint16_t Type;\n"
        text += _members(each, lambda member: _declared(member) + ";")
        text += f"        s_{each.name}()\n        {{\n            Clear();\n        }}\n"
        text += "        void Clear()\n        {\n            memset(this, 0, sizeof(*this));\n"
        text += f"            Type = {each.number_name};\n            Size = sizeof(*this);\n"
        text += _assignments(each, "") + "        }\n" + GETTERS + "    };\n"
    return text + "#pragma pack(pop)\n}\n"


def _initialised(member: Member) -> str:
    if member.default is not None:
        return f"{_declared(member)} = {_value(member)};"
    if member.union:
        return f"{_declared(member)};"
    return f"{_declared(member)} = {{}};"


def initialisers(header: Header) -> str:
    """Write the dialect of 2022: default member initialisers, and the number as a constant of each struct."""
    text = (
        f"#pragma once\n#include <cstdint>\n#include <cfloat>\nnamespace DTC\n{{\n#pragma pack(push, {header.pack})\n"
    )
    text += "".join(f"    const int32_t {name} = {value};\n" for name, value in header.lengths.items())
    text += "".join(f"    const uint16_t {each.number_name} = {each.number};\n" for each in header.structs)
    text += _enums(header, str) + NOISE
    text += "struct s_MessageHeader\n{\n    uint16_t Size = 0;\n    uint16_t Type = 0;\n};\n"
    for each in header.structs:
        text += f"    struct s_{each.name}\n    {{\n"
        text += f"        static constexpr uint16_t MESSAGE_TYPE = {each.number_name};\n\n"
        text += "        uint16_t Size = sizeof(*this);\n        uint16_t Type = MESSAGE_TYPE;\n"
        text += _members(each, _initialised) + GETTERS + "    };\n"
    return text + "#pragma pack(pop)\n}\n"


def templates(header: Header) -> str:
    """Write a fork's dialect: each struct inherits from a class template with the message number as its argument."""
    text = f"#pragma once\n#include <cstdint>\nnamespace dtc {{ namespace v8 {{\n#pragma pack(push, {header.pack})\n"
    text += "".join(f"    constexpr std::size_t {name} = {value};\n" for name, value in header.lengths.items())
    text = text.replace("std::size_t", "int")
    text += "".join(
        f"    inline constexpr std::uint16_t {each.number_name}{{{each.number}}};\n" for each in header.structs
    )
    text += _enums(header, lambda kind: f"std::{kind}")
    text += "    template <typename Derived, std::uint16_t NUMBER>\n    class Message\n    {\n    public:\n"
    text += "        static constexpr std::uint16_t MESSAGE_TYPE = NUMBER;\n"
    text += "        std::uint16_t Size = sizeof(Derived);\n        std::uint16_t Type = NUMBER;\n"
    text += "        [[nodiscard]] std::uint16_t type() const noexcept { return Type; }\n    };\n"
    for each in header.structs:
        text += f"    struct s_{each.name} final : public Message<s_{each.name}, {each.number_name}>\n    {{\n"
        text += _members(each, _initialised) + "    };\n"
    return text + "#pragma pack(pop)\n} }\n"


def macros(header: Header) -> str:
    """Write a fork's dialect: a macro with parameters begins each struct."""
    text = "#include <cstdint>\n#define BEGIN_MESSAGE(NAME, NUMBER) \\\n    struct s_##NAME { \\\n"
    text += "        uint16_t Size = sizeof(s_##NAME); \\\n        uint16_t Type = NUMBER;\n#define END_MESSAGE };\n"
    text += f"namespace DTC {{\n#pragma pack(push, {header.pack})\n"
    text += "".join(f"    static const int {name} = {value};\n" for name, value in header.lengths.items())
    text += "".join(f"    static const uint16_t {each.number_name} = {each.number};\n" for each in header.structs)
    text += _enums(header, str) + "#if 0\nstruct s_Never { uint16_t Size; uint16_t Type = 1;\n#endif\n"
    for each in header.structs:
        text += f"BEGIN_MESSAGE({each.name}, {each.number_name})\n" + _members(each, _initialised) + "END_MESSAGE\n"
    return text + "#pragma pack(pop)\n}\n"


def own(header: Header) -> str:
    """Write the dialect of codegen/dtc.h."""
    text = "#include <stdint.h>\n#include <float.h>\n"
    text += "".join(f"enum {{ {name} = {value} }};\n" for name, value in header.lengths.items())
    text += (
        "enum MessageType { " + ", ".join(f"{each.number_name} = {each.number}" for each in header.structs) + " };\n"
    )
    text += "typedef uint16_t MessageType;\n"
    for name, underlying, members in header.enums:
        text += f"enum {name} {{ " + ", ".join(f"{each} = {number}" for each, number in members.items()) + " };\n"
        text += f"typedef {underlying} {name};\n"
    text += f"#pragma pack(push, {header.pack})\n"
    for each in header.structs:
        text += f"#pragma dtc server\nstruct s_{each.name}\n{{\n    uint16_t Size;\n    uint16_t Type;\n"
        text += _members(each, lambda member: _declared(member) + ";", "    ")
        text += (
            f"}};\nconst struct s_{each.name} s_{each.name}_default = {{\n    .Size = sizeof(struct s_{each.name}),\n"
        )
        text += f"    .Type = {each.number_name},\n"
        for member in each.members:
            if member.default is not None:
                text += f"    .{member.name} = {_value(member)},\n"
        text += "};\n"
    return text + "#pragma pack(pop)\n"


DIALECTS: tuple[Callable[[Header], str], ...] = (
    plain_c,
    constructors,
    clear,
    initialisers,
    templates,
    macros,
    own,
)


def facts(protocol: Protocol) -> list[object]:
    """Describe each message of a protocol, in the form of `expected`."""
    return [
        (
            message.struct,
            message.name,
            message.number,
            [
                (
                    each.name,
                    each.type,
                    each.length or 0,
                    each.count,
                    bool(each.union),
                    (each.default.value, each.default.enum) if each.default else None,
                )
                for each in message.body
            ],
        )
        for message in protocol.messages
    ]


def expected(header: Header) -> list[object]:
    """Describe each message of a header."""
    members = {each: (number, name) for name, _, them in header.enums for each, number in them.items()}
    found: list[object] = []
    for struct in header.structs:
        fields = []
        for member in [each for each in struct.members if not each.union] + [
            each for each in struct.members if each.union
        ]:
            length = header.lengths.get(str(member.length), member.length) if member.kind == "text" else 0
            default: tuple[object, str] | None = None
            if member.default is not None:
                default = (
                    members.get(str(member.default), (member.default, ""))
                    if member.kind not in SCALARS
                    else (member.default, "")
                )
            kind = "char" if member.kind == "text" else member.kind
            fields.append((member.name, kind, length, member.count, member.union, default))
        found.append((f"s_{struct.name}", struct.number_name, struct.number, fields))
    return found


def as_official(protocol: Protocol) -> str:
    """Print a protocol as the official header of 2022 states it, without the messages that were dropped before."""
    text = "#pragma once\n#include <cstdint>\n#include <cfloat>\n#include <climits>\nnamespace DTC\n{\n"
    for group in protocol.constants:
        text += "".join(f"    const int32_t {name} = {value};\n" for name, value in group.items())
    messages = [each for each in protocol.messages if not {"legacy", "nonstandard"} & {*each.marks}]
    text += "".join(f"    const uint16_t {each.name} = {each.number};\n" for each in messages)
    text += "".join(f"    typedef {target} {name};\n" for name, target in protocol.typedefs.items())
    for enum in protocol.enums:
        listed = "\n    , ".join(f"{name} = {number}" for name, number in enum.members.items())
        text += f"    enum {enum.name} : {enum.underlying}\n    {{ {listed}\n    }};\n"
    for message in messages:
        pack = 8 if message.size % 4 == 0 and all(each.offset % each.alignment == 0 for each in message.fields) else 1
        text += f"#pragma pack(push, {pack})\n    struct {message.struct}\n    {{\n"
        text += f"        static constexpr uint16_t MESSAGE_TYPE = {message.name};\n\n"
        text += "        uint16_t Size = sizeof(*this);\n        uint16_t Type = MESSAGE_TYPE;\n"
        members = [
            Member(
                each.name, "text" if each.length else each.type, each.length or 0, _shown(each), union=bool(each.union)
            )
            for each in message.body
        ]
        plain = [each for each in members if not each.union]
        before = [
            each
            for each in plain
            if members.index(each) < min([members.index(u) for u in members if u.union], default=99)
        ]
        text += "".join(f"        {_initialised(each)}\n" for each in before)
        if any(each.union for each in members):
            text += "        union\n        {\n"
            text += "".join(f"            {_declared(each)};\n" for each in members if each.union)
            text += "        };\n"
        text += "".join(f"        {_initialised(each)}\n" for each in plain if each not in before)
        text += GETTERS + "    };\n#pragma pack(pop)\n"
    return text + "}\n"


def _shown(given: Field) -> str | float | None:
    if given.default is None:
        return None
    return given.default.name or given.default.value
