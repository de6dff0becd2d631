/// A JSON document as a value: what requests, configurations and file headers are read from.
///
/// Foundation's decoders lose the order of an object's members, which matters here: PEFT's
/// `rank_pattern` takes the first key that matches, and templates print tools as they were sent.
public enum JSON: Sendable, Hashable {
    case null
    case bool(Bool)
    /// A number without fraction or exponent that fits 64 bits.
    case integer(Int)
    /// One that does not fit, by its digits.
    case largeInteger(String)
    case number(Double)
    case string(String)
    case array([JSON])
    case object(Object)

    /// Members in the order of the text, names unique.
    public struct Object: Sendable, Hashable {
        public private(set) var members: [(name: String, value: JSON)] = []
        /// Places of the members by the bytes of their names, once they are many. Swift compares
        /// strings by canonical equivalence; JSON names differ when their bytes do.
        private var positions: [[UInt8]: Int] = [:]

        private static let fewMembers = 16

        public init() {}

        public init(_ members: [(String, JSON)]) {
            for (name, value) in members { self[name] = value }
        }

        public var names: [String] { members.map(\.name) }
        public var count: Int { members.count }
        public var isEmpty: Bool { members.isEmpty }

        public subscript(name: String) -> JSON? {
            get { position(of: name).map { members[$0].value } }
            set {
                switch (position(of: name), newValue) {
                case (let position?, let value?): members[position].value = value
                case (let position?, nil):
                    members.remove(at: position)
                    positions = [:]
                    index(from: 0)
                case (nil, let value?):
                    members.append((name, value))
                    index(from: members.count - 1)
                case (nil, nil): break
                }
            }
        }

        private func position(of name: String) -> Int? {
            members.count <= Object.fewMembers
                ? members.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
                : positions[Array(name.utf8)]
        }

        private mutating func index(from start: Int) {
            guard members.count > Object.fewMembers else { return }
            for place in (positions.isEmpty ? 0 : start)..<members.count {
                positions[Array(members[place].name.utf8)] = place
            }
        }

        public static func == (a: Object, b: Object) -> Bool {
            a.members.elementsEqual(b.members) {
                $0.name.utf8.elementsEqual($1.name.utf8) && $0.value == $1.value
            }
        }

        public func hash(into hasher: inout Hasher) {
            for member in members {
                hasher.combine(Array(member.name.utf8))
                hasher.combine(member.value)
            }
        }
    }
}

// MARK: Comparing

extension JSON {
    /// Strings are equal when their bytes are. Swift's own comparison normalizes them, which takes
    /// quadratic time for runs of combining marks.
    public static func == (a: JSON, b: JSON) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.largeInteger(let a), .largeInteger(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        default: false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .bool(let value): hasher.combine(value)
        case .integer(let value): hasher.combine(value)
        case .largeInteger(let digits): hasher.combine(digits)
        case .number(let value): hasher.combine(value)
        case .string(let value): hasher.combine(Array(value.utf8))
        case .array(let value): hasher.combine(value)
        case .object(let value): hasher.combine(value)
        }
    }
}

// MARK: Reading

extension JSON {
    public var isNull: Bool { if case .null = self { true } else { false } }

    public var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The integer; also of a number that has no fraction, such as `1.0`.
    public var integerValue: Int? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    public var doubleValue: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .largeInteger(let digits): Double(digits)
        case .number(let value): value
        default: nil
        }
    }

    public var stringValue: String? {
        if case .string(let value) = self { value } else { nil }
    }

    public var arrayValue: [JSON]? {
        if case .array(let value) = self { value } else { nil }
    }

    public var objectValue: Object? {
        if case .object(let value) = self { value } else { nil }
    }

    /// A member of an object; nil for anything else.
    public subscript(name: String) -> JSON? { objectValue?[name] }

    /// The word for the kind of value, for messages.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer, .largeInteger: "an integer"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

// MARK: Literals

extension JSON.Object: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSON)...) { self.init(elements) }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByNilLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(nilLiteral: ()) { self = .null }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSON)...) { self = .object(Object(elements)) }
}
