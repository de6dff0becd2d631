internal import JSONTree

/// What expressions evaluate to. Python's semantics, as far as templates can tell.
enum Value {
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    /// An integer that does not fit, by its digits. Nothing is computed with it.
    case largeInteger(String)
    case number(Double)
    case string(String)
    /// What `safe` and `escape` give: texts that are put beside it are escaped.
    case markup(String)
    case list([Value])
    case sequence(Sequence)
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
        private var members: [String: Value] = [:]
        private var names: [String] = []
        /// What it is written as, when it is a loop's.
        let label: String?
        /// What calling it does: a recursive loop's next level.
        var call: Function?

        init(label: String? = nil) { self.label = label }

        subscript(name: String) -> Value? {
            get { members[name] }
            set {
                if members.updateValue(newValue ?? .none, forKey: name) == nil {
                    names.append(name)
                }
            }
        }

        func removeAll() { (members, names) = ([:], []) }

        var representation: String {
            let list = names.map { "\(Value.quoted($0)): \(members[$0]?.representation ?? "")" }
            return label ?? "<Namespace {\(list.joined(separator: ", "))}>"
        }
    }

    struct Function {
        var name: String
        var isMacro = false
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
        case .largeInteger(let digits): self = .largeInteger(digits)
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
        case .largeInteger(let digits): return .largeInteger(digits)
        case .number(let value): return .number(value)
        case .string(let value), .markup(let value): return .string(value)
        case .list(let elements): return Value.json(elements)
        case .sequence(let sequence):
            return sequence.kind == .tuple ? Value.json(sequence.waiting) : nil
        case .dictionary(let dictionary):
            var object = JSON.Object()
            for (key, value) in dictionary.members {
                guard let json = value.json, let name = key.memberName else { return nil }
                object[name] = json
            }
            return .object(object)
        case .undefined, .namespace, .function: return nil
        }
    }

    private static func json(_ elements: [Value]) -> JSON? {
        let values = elements.compactMap(\.json)
        return values.count == elements.count ? .array(values) : nil
    }

    /// What `json.dumps` makes of a key; nil for one that it refuses.
    private var memberName: String? {
        switch self {
        case .none: "null"
        case .bool(let value): value ? "true" : "false"
        case .string, .markup, .integer, .largeInteger, .number: text
        default: nil
        }
    }

    /// Whether Python can put the keys of every mapping in order.
    var hasSortableKeys: Bool {
        switch self {
        case .list(let elements): elements.allSatisfy(\.hasSortableKeys)
        case .sequence(let sequence): sequence.waiting.allSatisfy(\.hasSortableKeys)
        case .dictionary(let dictionary):
            zip(dictionary.members, dictionary.members.dropFirst()).allSatisfy {
                Value.isLess($0.key, $1.key) != nil
            } && dictionary.members.allSatisfy { $0.value.hasSortableKeys }
        default: true
        }
    }

    /// A text, marked as safe or not.
    var string: String? {
        switch self {
        case .string(let text), .markup(let text): text
        default: nil
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .number(let value): value != 0
        case .largeInteger: true
        case .string(let value), .markup(let value): !value.isEmpty
        case .list(let value): !value.isEmpty
        case .sequence(let value): value.kind == .generator || !value.waiting.isEmpty
        case .dictionary(let value): !value.members.isEmpty
        case .namespace, .function: true
        }
    }

    /// Whether other values are in it.
    var isContainer: Bool {
        switch self {
        case .list, .sequence, .dictionary: true
        default: false
        }
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }

    /// Python's `str`.
    var text: String {
        switch self {
        case .undefined: ""
        case .string(let value), .markup(let value): value
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
        case .largeInteger(let digits): return digits
        case .number(let value): return value.description
        case .string(let value): return Value.quoted(value)
        case .markup(let value): return "Markup(\(Value.quoted(value)))"
        case .sequence(let sequence): return sequence.representation
        case .list(let elements):
            return "[" + elements.map(\.representation).joined(separator: ", ") + "]"
        case .dictionary(let dictionary):
            let members = dictionary.members.map {
                "\($0.key.representation): \($0.value.representation)"
            }
            return "{" + members.joined(separator: ", ") + "}"
        case .namespace(let namespace): return namespace.representation
        case .function(let function):
            return function.isMacro
                ? "<Macro \(Value.quoted(function.name))>" : "<function \(function.name)>"
        }
    }

    static func quoted(_ text: String) -> String {
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
            case _ where isPrintable(scalar): result.unicodeScalars.append(scalar)
            default:
                let digits = String(scalar.value, radix: 16)
                let (letter, count) =
                    scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
                result +=
                    "\\" + letter + String(repeating: "0", count: count - digits.count) + digits
            }
        }
        return result + String(quote)
    }

    /// Python's `str.isprintable`.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
            .paragraphSeparator:
            false
        case .spaceSeparator: scalar == " "
        default: true
        }
    }

    /// The word for the type, for messages.
    var kind: String {
        switch self {
        case .undefined(let name):
            name.isEmpty ? "an undefined value" : "'\(name)', which is undefined"
        case .none: "none"
        case .bool: "a boolean"
        case .integer, .largeInteger, .number: "a number"
        case .string, .markup: "a string"
        case .list: "a list"
        case .sequence(let sequence):
            switch sequence.kind {
            case .tuple: "a tuple"
            case .range: "a range"
            case .keys, .values, .items: "a view of a mapping"
            case .generator: "a generator, which `list` makes a list of"
            }
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
        case .sequence(let sequence): sequence.taken()
        case .string(let text): text.unicodeScalars.map { .string(String($0)) }
        case .markup(let text): text.unicodeScalars.map { .markup(String($0)) }
        case .dictionary(let dictionary): dictionary.members.map(\.key)
        default: nil
        }
    }
}

extension Value: Equatable {
    static func == (a: Value, b: Value) -> Bool {
        switch (a, b) {
        case (.none, .none), (.undefined, .undefined): true
        case (.list(let a), .list(let b)): a == b
        case (.sequence(let a), .sequence(let b)): Sequence.equals(a, b)
        case (.largeInteger(let a), .largeInteger(let b)): a == b
        case (.dictionary(let a), .dictionary(let b)):
            a.members.count == b.members.count && a.members.allSatisfy { b[$0.key] == $0.value }
        case (.namespace(let a), .namespace(let b)): a === b
        case (.integer(let a), .integer(let b)): a == b
        // Exactly: a large integer has no double of its own.
        case (.integer(let a), .number(let b)), (.number(let b), .integer(let a)):
            Int(exactly: b) == a
        default:
            if let a = a.string, let b = b.string {
                a.utf8.elementsEqual(b.utf8)
            } else if let a = a.numeric, let b = b.numeric {
                a == b
            } else {
                false
            }
        }
    }

    /// Python's order; nil where it has none.
    static func isLess(_ a: Value, _ b: Value) -> Bool? {
        switch (a, b) {
        case (.list(let a), .list(let b)): isLess(a, b)
        case (.sequence(let a), .sequence(let b)) where a.kind == .tuple && b.kind == .tuple:
            isLess(a.waiting, b.waiting)
        case (.integer(let a), .integer(let b)): a < b
        default:
            if let a = a.string, let b = b.string {
                a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
            } else if let a = a.numeric, let b = b.numeric {
                a < b
            } else {
                nil
            }
        }
    }

    private static func isLess(_ a: [Value], _ b: [Value]) -> Bool? {
        zip(a, b).first { $0 != $1 }.map { isLess($0, $1) } ?? (a.count < b.count)
    }
}
