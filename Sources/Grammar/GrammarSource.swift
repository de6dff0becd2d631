public import JSONTree

/// What a text must be. Texts are put together from parts, and a part may be anything of these.
public indirect enum GrammarSource: Hashable, Sendable {
    /// JSON that satisfies a schema (draft 2020-12 and those before).
    case schema(JSON)
    /// A JSON object with any members.
    case jsonObject
    /// The whole text matches.
    case pattern(String)
    /// One of these.
    case choice([String])
    /// A grammar in GBNF, llama.cpp's notation.
    case notation(String)
    /// This.
    case literal(String)
    /// This, which the tokenizer may have a special token for.
    case marker(String)
    /// Any text in which none of these occurs.
    case free(without: [String])
    case sequence([GrammarSource])
    case either([GrammarSource])
    /// So many, with something between them.
    case repeated(GrammarSource, between: GrammarSource, least: Int, most: Int?)

    /// A special token as bytes that no text has: grammars allow it only where they name it.
    public static func bytes(ofSpecialToken text: [UInt8]) -> [UInt8] { [0xFF] + text + [0xFE] }
}
