internal import JSONTree

/// What expressions evaluate to. Python's semantics, as far as templates can tell.
enum Value {
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case list([Value])
    case dictionary(Dictionary)
    case namespace(Namespace)
    case function(Function)

    enum Literal: Sendable {
        case none
        case bool(Bool)
        case integer(Int)
        case number(Double)
        case string(String)
    }

    /// Members in order.
    struct Dictionary {
        private(set) var members: [(key: Value, value: Value)] = []
        /// Places of the string keys by their bytes, once members are many.
        private var places: [[UInt8]: Int] = [:]

        private static let fewMembers = 16

        init() {}

        init(members: [(key: Value, value: Value)]) {
            self.members = members
            indexIfMany(from: 0)
        }

        /// Members that are looked at to find a key.
        func scanCount(for key: Value) -> Int {
            if case .string = key { return 0 }
            return members.count
        }

        subscript(key: Value) -> Value? {
            get { place(of: key).map { members[$0].value } }
            set {
                switch (place(of: key), newValue) {
                case (let place?, let value?): members[place].value = value
                case (let place?, nil):
                    members.remove(at: place)
                    places = [:]
                    indexIfMany(from: 0)
                case (nil, let value?):
                    members.append((key, value))
                    indexIfMany(from: places.isEmpty ? 0 : members.count - 1)
                case (nil, nil): break
                }
            }
        }

        private func place(of key: Value) -> Int? {
            if case .string(let text) = key, members.count > Dictionary.fewMembers {
                return places[Array(text.utf8)]
            }
            return members.firstIndex { $0.key == key }
        }

        private mutating func indexIfMany(from start: Int) {
            guard members.count > Dictionary.fewMembers else { return }
            for place in start..<members.count {
                if case .string(let text) = members[place].key { places[Array(text.utf8)] = place }
            }
        }
    }

    /// `namespace(…)`: the one thing that a template may change from inside a loop.
    final class Namespace {
        var members: [String: Value] = [:]
    }

    struct Function {
        var name: String
        var call: (inout Interpreter, CallArguments) throws(TemplateError) -> Value
    }
}

/// Evaluated arguments.
struct CallArguments {
    var positional: [Value] = []
    var named: [(name: String, value: Value)] = []

    /// By place or by name.
    func value(_ index: Int, _ name: String) -> Value? {
        index < positional.count ? positional[index] : named.first { $0.name == name }?.value
    }
}

extension Value {
    init(_ literal: Literal) {
        switch literal {
        case .none: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .number(value)
        case .string(let value): self = .string(value)
        }
    }

    init(_ json: JSON) {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .number(value)
        case .string(let value): self = .string(value)
        case .array(let elements): self = .list(elements.map { Value($0) })
        case .object(let object):
            self = .dictionary(
                Dictionary(members: object.members.map { (.string($0.name), Value($0.value)) }))
        }
    }

    /// The value as JSON; nil for functions and undefined values.
    var json: JSON? {
        switch self {
        case .none: return .null
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .number(let value): return .number(value)
        case .string(let value): return .string(value)
        case .list(let elements):
            let values = elements.compactMap(\.json)
            return values.count == elements.count ? .array(values) : nil
        case .dictionary(let dictionary):
            var object = JSON.Object()
            for (key, value) in dictionary.members {
                guard let json = value.json else { return nil }
                object[key.text] = json
            }
            return .object(object)
        case .undefined, .namespace, .function: return nil
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .number(let value): value != 0
        case .string(let value): !value.isEmpty
        case .list(let value): !value.isEmpty
        case .dictionary(let value): !value.members.isEmpty
        case .namespace, .function: true
        }
    }

    /// Whether other values are in it.
    var isContainer: Bool {
        switch self {
        case .list, .dictionary: true
        default: false
        }
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }

    /// Python's `str`.
    var text: String {
        switch self {
        case .undefined: ""
        case .string(let value): value
        default: representation
        }
    }

    /// Python's `repr`.
    var representation: String {
        switch self {
        case .undefined: return "Undefined"
        case .none: return "None"
        case .bool(let value): return value ? "True" : "False"
        case .integer(let value): return String(value)
        case .number(let value): return value.description
        case .string(let value): return Value.quoted(value)
        case .list(let elements):
            return "[" + elements.map(\.representation).joined(separator: ", ") + "]"
        case .dictionary(let dictionary):
            let members = dictionary.members.map {
                "\($0.key.representation): \($0.value.representation)"
            }
            return "{" + members.joined(separator: ", ") + "}"
        case .namespace: return "<Namespace>"
        case .function(let function): return "<function \(function.name)>"
        }
    }

    private static func quoted(_ text: String) -> String {
        let quote: Unicode.Scalar =
            text.unicodeScalars.contains("'") && !text.unicodeScalars.contains("\"") ? "\"" : "'"
        var result = String(quote)
        for scalar in text.unicodeScalars {
            switch scalar {
            case quote: result += "\\\(quote)"
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + String(quote)
    }

    /// The word for the type, for messages.
    var kind: String {
        switch self {
        case .undefined(let name):
            name.isEmpty ? "an undefined value" : "'\(name)', which is undefined"
        case .none: "none"
        case .bool: "a boolean"
        case .integer, .number: "a number"
        case .string: "a string"
        case .list: "a list"
        case .dictionary: "a mapping"
        case .namespace: "a namespace"
        case .function: "a function"
        }
    }

    var numeric: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    var integer: Int? {
        switch self {
        case .integer(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    /// What a loop over the value sees.
    var elements: [Value]? {
        switch self {
        case .undefined: []
        case .list(let elements): elements
        case .string(let text): text.unicodeScalars.map { .string(String($0)) }
        case .dictionary(let dictionary): dictionary.members.map(\.key)
        default: nil
        }
    }
}

extension Value: Equatable {
    static func == (a: Value, b: Value) -> Bool {
        switch (a, b) {
        case (.none, .none), (.undefined, .undefined): true
        case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
        case (.list(let a), .list(let b)): a == b
        case (.dictionary(let a), .dictionary(let b)):
            a.members.count == b.members.count && a.members.allSatisfy { b[$0.key] == $0.value }
        case (.namespace(let a), .namespace(let b)): a === b
        case (.integer(let a), .integer(let b)): a == b
        default:
            if let a = a.numeric, let b = b.numeric { a == b } else { false }
        }
    }

    /// Python's order; nil where it has none.
    static func isLess(_ a: Value, _ b: Value) -> Bool? {
        switch (a, b) {
        case (.string(let a), .string(let b)):
            a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
        case (.list(let a), .list(let b)):
            zip(a, b).first { $0 != $1 }.map { isLess($0, $1) } ?? (a.count < b.count)
        case (.integer(let a), .integer(let b)): a < b
        default:
            if let a = a.numeric, let b = b.numeric { a < b } else { nil }
        }
    }
}
