extension JSON {
    /// How a document is written.
    public struct Style: Sendable {
        /// Between members and elements, after the comma.
        public var separator = ","
        public var colon = ":"
        /// What each level on lines of its own begins with once more, or nil for one line.
        public var indent: String?
        /// Whether everything outside ASCII is escaped.
        public var escapesNonASCII = false
        /// Whether numbers that JSON lacks are written as Python does, and not as null.
        public var writesNonFinite = false

        public init() {}

        /// No spaces at all.
        public static let compact = Style()

        /// As Python's `json.dumps` writes it: a space after commas and colons.
        public static func python(indent: String? = nil, escapesNonASCII: Bool = true) -> Style {
            var style = Style()
            style.separator = indent == nil ? ", " : ","
            style.colon = ": "
            style.indent = indent
            style.escapesNonASCII = escapesNonASCII
            style.writesNonFinite = true
            return style
        }
    }

    /// The document as text.
    public func text(_ style: Style = .compact) -> String {
        var text = ""
        write(to: &text, style: style, level: 0)
        return text
    }

    private func write(to text: inout String, style: Style, level: Int) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .largeInteger(let digits): text += digits
        case .number(let value): text += JSON.text(of: value, style)
        case .string(let value): JSON.quote(value, into: &text, style: style)
        case .array(let elements):
            JSON.list(elements, "[", "]", into: &text, style, level) { element, text in
                element.write(to: &text, style: style, level: level + 1)
            }
        case .object(let object):
            JSON.list(object.members, "{", "}", into: &text, style, level) { member, text in
                JSON.quote(member.name, into: &text, style: style)
                text += style.colon
                member.value.write(to: &text, style: style, level: level + 1)
            }
        }
    }

    private static func list<Item>(
        _ items: [Item], _ open: String, _ close: String, into text: inout String, _ style: Style,
        _ level: Int, _ write: (Item, inout String) -> Void
    ) {
        text += open
        for (index, item) in items.enumerated() {
            if index > 0 { text += style.separator }
            newLine(into: &text, style, level + 1)
            write(item, &text)
        }
        if !items.isEmpty { newLine(into: &text, style, level) }
        text += close
    }

    private static func newLine(into text: inout String, _ style: Style, _ level: Int) {
        guard let indent = style.indent else { return }
        text += "\n" + String(repeating: indent, count: level)
    }

    /// The shortest digits that read back as the same number, as Python and JavaScript write them.
    private static func text(of value: Double, _ style: Style) -> String {
        guard value.isFinite else {
            guard style.writesNonFinite else { return "null" }
            return value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
        }
        return value.description
    }

    private static func quote(_ value: String, into text: inout String, style: Style) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{08}": text += "\\b"
            case "\u{0C}": text += "\\f"
            case _ where scalar.value < 0x20 || style.escapesNonASCII && scalar.value > 0x7E:
                for unit in UTF16.encode(scalar) ?? .init() {
                    let digits = String(unit, radix: 16)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
