/// Methods of strings, lists and mappings that templates call. Those that change their object are
/// absent, as in the sandbox that transformers renders in.
enum Methods {
    static func method(_ name: String, of base: Value) -> Value? {
        switch base {
        case .string(let text): string(name, text)
        case .markup(let text): markup(name, text)
        case .dictionary(let dictionary): dictionaryMethod(name, dictionary)
        case .list(let elements): list(name, elements)
        case .sequence(let sequence) where sequence.isIndexed: list(name, sequence.waiting)
        default: nil
        }
    }

    /// Whether a method would change its object: the sandbox makes it undefined.
    static func isUnsafe(_ name: String, of base: Value) -> Bool {
        switch base {
        case .dictionary: ["clear", "pop", "popitem", "setdefault", "update"].contains(name)
        case .list:
            ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"].contains(
                name)
        default: false
        }
    }

    /// - Parameters:
    ///   - limit: arguments by place at most.
    ///   - names: of those that may be given by name.
    private static func function(
        _ name: String, limit: Int = 0, names: [String] = [],
        _ body: @escaping (inout Interpreter, CallArguments) throws(TemplateError) -> Value
    ) -> Value {
        .function(
            Value.Function(name: name) { (interpreter, arguments) throws(TemplateError) in
                guard arguments.positional.count <= limit else {
                    throw interpreter.fail("\(name) takes \(limit) arguments at most")
                }
                for (given, _) in arguments.named where !names.contains(given) {
                    throw interpreter.fail("\(name) takes no argument by the name \(given)")
                }
                return try body(&interpreter, arguments)
            })
    }

    /// Those whose results stay marked as safe, and those that tell of the text.
    private static func markup(_ name: String, _ text: String) -> Value? {
        let kept: Set<String> = [
            "strip", "lstrip", "rstrip", "upper", "lower", "title", "capitalize", "split", "rsplit",
            "splitlines",
        ]
        let plain: Set<String> = [
            "startswith", "endswith", "find", "count", "isdigit", "isalpha", "isspace", "isupper",
            "islower", "isalnum",
        ]
        guard kept.contains(name) || plain.contains(name),
            case .function(let function)? = string(name, text)
        else { return nil }
        guard kept.contains(name) else { return .function(function) }
        return .function(
            Value.Function(name: name) { (interpreter, arguments) throws(TemplateError) in
                switch try function.call(&interpreter, arguments) {
                case .string(let text): return .markup(text)
                case .list(let parts): return .list(parts.map { .markup($0.text) })
                case let other: return other
                }
            })
    }

    /// Python's `start` and `end` of a search, as places of scalars.
    private static func part(
        of text: String, _ arguments: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> (text: String, start: Int)? {
        guard arguments.positional.count > 1 else { return (text, 0) }
        let scalars = Array(text.unicodeScalars)
        var bounds = [0, scalars.count]
        for (place, value) in arguments.positional.dropFirst().enumerated() {
            if case .none = value { continue }
            guard let index = value.integer else {
                throw interpreter.fail("expected an integer, not \(value.kind)")
            }
            bounds[place] = index < 0 ? max(0, index &+ scalars.count) : min(index, scalars.count)
            if place == 0, index > scalars.count { return nil }
        }
        guard bounds[0] <= bounds[1] else { return nil }
        return (String(Strings.Scalars(scalars[bounds[0]..<bounds[1]])), bounds[0])
    }

    private static func text(
        _ arguments: CallArguments, _ index: Int, _ name: String, _ interpreter: Interpreter
    ) throws(TemplateError) -> String? {
        switch arguments.value(index, name) {
        case nil, Value.none?: return nil
        case .string(let text)?, .markup(let text)?: return text
        case let other?: throw interpreter.fail("expected a string, not \(other.kind)")
        }
    }

    private static func string(_ name: String, _ text: String) -> Value? {
        switch name {
        case "strip", "lstrip", "rstrip":
            return function(name, limit: 1) { (interpreter, arguments) throws(TemplateError) in
                .string(
                    Strings.strip(
                        text, try Methods.text(arguments, 0, "chars", interpreter),
                        left: name != "rstrip",
                        right: name != "lstrip"))
            }
        case "split", "rsplit":
            return function(name, limit: 2, names: ["sep", "maxsplit"]) {
                (interpreter, arguments) throws(TemplateError) in
                let separator = try Methods.text(arguments, 0, "sep", interpreter)
                guard separator != "" else { throw interpreter.fail("an empty separator") }
                let limit = arguments.value(1, "maxsplit")?.integer ?? -1
                try interpreter.spend(text.utf8.count / 64)
                let parts =
                    name == "split"
                    ? Strings.split(text, separator, limit: limit)
                    : Strings.splitFromRight(text, separator, limit: limit)
                return .list(parts.map { .string($0) })
            }
        case "startswith", "endswith":
            return function(name, limit: 3) { (interpreter, arguments) throws(TemplateError) in
                let candidates: [Value]
                switch arguments.positional.first {
                case .sequence(let several)? where several.kind == .tuple:
                    candidates = several.waiting
                case let one?: candidates = [one]
                case nil: throw interpreter.fail("\(name) needs an argument")
                }
                let part = try Methods.part(of: text, arguments, interpreter)
                for candidate in candidates {
                    guard let wanted = candidate.string else {
                        throw interpreter.fail("\(name) needs a string or a tuple of them")
                    }
                    guard let text = part?.text else { continue }
                    let holds =
                        name == "startswith"
                        ? text.utf8.starts(with: wanted.utf8)
                        : text.utf8.suffix(wanted.utf8.count).elementsEqual(wanted.utf8)
                    if holds { return .bool(true) }
                }
                return .bool(false)
            }
        case "upper":
            return function(name) { (_, _) throws(TemplateError) in .string(text.uppercased()) }
        case "lower":
            return function(name) { (_, _) throws(TemplateError) in .string(Strings.lower(text)) }
        case "title":
            return function(name) { (_, _) throws(TemplateError) in .string(Strings.title(text)) }
        case "capitalize":
            return function(name) { (_, _) throws(TemplateError) in
                .string(Strings.capitalize(text))
            }
        case "replace":
            return function(name, limit: 3) { (interpreter, arguments) throws(TemplateError) in
                guard let old = try Methods.text(arguments, 0, "old", interpreter),
                    let new = try Methods.text(arguments, 1, "new", interpreter)
                else { throw interpreter.fail("replace needs two arguments") }
                return .string(
                    try Strings.replace(
                        text, old, with: new, limit: arguments.value(2, "count")?.integer ?? -1,
                        &interpreter))
            }
        case "find", "rfind", "index":
            return function(name, limit: 3) { (interpreter, arguments) throws(TemplateError) in
                guard let wanted = try Methods.text(arguments, 0, "sub", interpreter) else {
                    throw interpreter.fail("\(name) needs a string")
                }
                var found: Int?
                if let (part, start) = try Methods.part(of: text, arguments, interpreter) {
                    if name == "rfind" {
                        func mirrored(_ text: String) -> String {
                            String(Strings.Scalars(text.unicodeScalars.reversed()))
                        }
                        found = Strings.find(mirrored(wanted), in: mirrored(part)).map {
                            part.unicodeScalars.count - $0 - wanted.unicodeScalars.count + start
                        }
                    } else {
                        found = Strings.find(wanted, in: part).map { $0 + start }
                    }
                }
                guard found != nil || name != "index" else {
                    throw interpreter.fail("substring not found")
                }
                return .integer(found ?? -1)
            }
        case "count":
            return function(name, limit: 3) { (interpreter, arguments) throws(TemplateError) in
                guard let wanted = try Methods.text(arguments, 0, "sub", interpreter) else {
                    throw interpreter.fail("count needs a string")
                }
                guard let (part, _) = try Methods.part(of: text, arguments, interpreter) else {
                    return .integer(0)
                }
                return .integer(
                    wanted.isEmpty
                        ? part.unicodeScalars.count + 1 : Strings.split(part, wanted).count - 1)
            }
        case "join":
            return function(name, limit: 1) { (interpreter, arguments) throws(TemplateError) in
                guard let elements = arguments.value(0, "iterable")?.elements,
                    elements.allSatisfy({ $0.string != nil })
                else { throw interpreter.fail("join needs a list of strings") }
                return .string(try Filters.joined(elements, with: text, &interpreter))
            }
        case "removeprefix", "removesuffix":
            return function(name, limit: 1) { (interpreter, arguments) throws(TemplateError) in
                let part = Array(
                    (try Methods.text(arguments, 0, "prefix", interpreter) ?? "").unicodeScalars)
                let scalars = Array(text.unicodeScalars)
                if name == "removeprefix", scalars.starts(with: part) {
                    return .string(String(Strings.Scalars(scalars.dropFirst(part.count))))
                }
                if name == "removesuffix", scalars.suffix(part.count).elementsEqual(part) {
                    return .string(String(Strings.Scalars(scalars.dropLast(part.count))))
                }
                return .string(text)
            }
        case "splitlines":
            return function(name, limit: 1, names: ["keepends"]) {
                (_, arguments) throws(TemplateError) in
                let keepsEnds = arguments.value(0, "keepends")?.isTrue ?? false
                return .list(Strings.lines(text, keepsEnds: keepsEnds).map { .string($0) })
            }
        case "isdigit", "isalpha", "isspace", "isupper", "islower", "isalnum":
            return function(name) { (_, _) throws(TemplateError) in
                let scalars = text.unicodeScalars
                func all(_ holds: (Unicode.Scalar) -> Bool) -> Value {
                    .bool(!scalars.isEmpty && scalars.allSatisfy(holds))
                }
                switch name {
                case "isdigit":
                    return all { [.decimal, .digit].contains($0.properties.numericType) }
                case "isalpha": return all(Strings.isLetter)
                case "isalnum":
                    return all { Strings.isLetter($0) || $0.properties.numericType != nil }
                case "isspace": return all(Strings.isSpace)
                case "isupper": return .bool(Strings.isUpper(text))
                default: return .bool(Strings.isLower(text))
                }
            }
        default: return nil
        }
    }

    private static func dictionaryMethod(_ name: String, _ dictionary: Value.Dictionary) -> Value? {
        switch name {
        case "items":
            return function(name) { (_, _) throws(TemplateError) in
                .sequence(Value.Sequence(.items, Value.pairs(dictionary)))
            }
        case "keys":
            return function(name) { (_, _) throws(TemplateError) in
                .sequence(Value.Sequence(.keys, dictionary.members.map(\.key)))
            }
        case "values":
            return function(name) { (_, _) throws(TemplateError) in
                .sequence(Value.Sequence(.values, dictionary.members.map(\.value)))
            }
        case "copy":
            return function(name) { (_, _) throws(TemplateError) in .dictionary(dictionary) }
        case "get":
            return function(name, limit: 2) { (interpreter, arguments) throws(TemplateError) in
                guard let key = arguments.value(0, "key"), key.isHashable else {
                    throw interpreter.fail("get needs a key")
                }
                return dictionary[key] ?? arguments.value(1, "default") ?? .none
            }
        default: return nil
        }
    }

    private static func list(_ name: String, _ elements: [Value]) -> Value? {
        switch name {
        case "copy": return function(name) { (_, _) throws(TemplateError) in .list(elements) }
        case "index":
            return function(name, limit: 1) { (interpreter, arguments) throws(TemplateError) in
                try interpreter.weigh(.list(elements))
                guard let wanted = arguments.value(0, "value"),
                    let index = elements.firstIndex(of: wanted)
                else { throw interpreter.fail("the value is not in the list") }
                return .integer(index)
            }
        case "count":
            return function(name, limit: 1) { (interpreter, arguments) throws(TemplateError) in
                let wanted = arguments.value(0, "value")
                try interpreter.weigh(.list(elements))
                return .integer(elements.count { $0 == wanted })
            }
        default: return nil
        }
    }
}
