/// Methods of strings, lists and mappings that templates call. Those that change their object are
/// absent, as in the sandbox that transformers renders in.
enum Methods {
    static func method(_ name: String, of base: Value) -> Value? {
        switch base {
        case .string(let text): string(name, text)
        case .dictionary(let dictionary): dictionaryMethod(name, dictionary)
        case .list(let elements): list(name, elements)
        default: nil
        }
    }

    private static func function(
        _ name: String,
        _ body: @escaping (inout Interpreter, CallArguments) throws(TemplateError) -> Value
    ) -> Value {
        .function(Value.Function(name: name, call: body))
    }

    private static func text(
        _ arguments: CallArguments, _ index: Int, _ name: String, _ interpreter: Interpreter
    ) throws(TemplateError) -> String? {
        switch arguments.value(index, name) {
        case nil, Value.none?: return nil
        case .string(let text)?: return text
        case let other?: throw interpreter.fail("expected a string, not \(other.kind)")
        }
    }

    private static func string(_ name: String, _ text: String) -> Value? {
        switch name {
        case "strip", "lstrip", "rstrip":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                .string(
                    Strings.strip(
                        text, try Methods.text(arguments, 0, "chars", interpreter),
                        left: name != "rstrip",
                        right: name != "lstrip"))
            }
        case "split", "rsplit":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                let separator = try Methods.text(arguments, 0, "sep", interpreter)
                let limit = arguments.value(1, "maxsplit")?.integer ?? -1
                try interpreter.spend(text.utf8.count / 64)
                guard name == "rsplit", limit >= 0, let separator else {
                    return .list(Strings.split(text, separator, limit: limit).map { .string($0) })
                }
                let parts = Strings.split(text, separator)
                let head = parts.dropLast(min(limit, parts.count - 1)).joined(separator: separator)
                return .list(
                    ([head] + parts.suffix(min(limit, parts.count - 1))).map { .string($0) })
            }
        case "startswith", "endswith":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                let candidates: [Value]
                switch arguments.value(0, "prefix") {
                case .list(let several)?: candidates = several
                case let one?: candidates = [one]
                case nil: throw interpreter.fail("\(name) needs an argument")
                }
                return .bool(
                    candidates.contains {
                        guard case .string(let part) = $0 else { return false }
                        return name == "startswith"
                            ? text.utf8.starts(with: part.utf8)
                            : text.utf8.suffix(part.utf8.count).elementsEqual(part.utf8)
                    })
            }
        case "upper":
            return function(name) { (_, _) throws(TemplateError) in .string(text.uppercased()) }
        case "lower":
            return function(name) { (_, _) throws(TemplateError) in .string(text.lowercased()) }
        case "title":
            return function(name) { (_, _) throws(TemplateError) in .string(Strings.title(text)) }
        case "capitalize":
            return function(name) { (_, _) throws(TemplateError) in
                .string(Strings.capitalize(text))
            }
        case "replace":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                guard let old = try Methods.text(arguments, 0, "old", interpreter),
                    let new = try Methods.text(arguments, 1, "new", interpreter)
                else { throw interpreter.fail("replace needs two arguments") }
                return .string(
                    try Strings.replace(
                        text, old, with: new, limit: arguments.value(2, "count")?.integer ?? -1,
                        &interpreter))
            }
        case "find":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                let part = try Methods.text(arguments, 0, "sub", interpreter) ?? ""
                return .integer(Strings.find(part, in: text) ?? -1)
            }
        case "count":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                let part = try Methods.text(arguments, 0, "sub", interpreter) ?? ""
                return .integer(
                    part.isEmpty
                        ? text.unicodeScalars.count + 1 : Strings.split(text, part).count - 1)
            }
        case "join":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                guard let elements = arguments.value(0, "iterable")?.elements else {
                    throw interpreter.fail("join needs a list")
                }
                return .string(try Filters.joined(elements, with: text, &interpreter))
            }
        case "removeprefix", "removesuffix":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
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
            return function(name) { (_, _) throws(TemplateError) in
                var lines = Strings.split(Strings.replace(text, "\r\n", with: "\n"), "\n")
                if lines.last == "" { lines.removeLast() }
                return .list(lines.map { .string($0) })
            }
        case "isdigit", "isalpha", "isspace", "isupper", "islower":
            return function(name) { (_, _) throws(TemplateError) in
                let scalars = text.unicodeScalars
                func all(_ holds: (Unicode.Scalar) -> Bool) -> Value {
                    .bool(!scalars.isEmpty && scalars.allSatisfy(holds))
                }
                switch name {
                case "isdigit": return all { $0.properties.generalCategory == .decimalNumber }
                case "isalpha": return all { $0.properties.isAlphabetic }
                case "isspace": return all { $0.properties.isWhitespace }
                case "isupper": return .bool(text == text.uppercased() && text != text.lowercased())
                default: return .bool(text == text.lowercased() && text != text.uppercased())
                }
            }
        default: return nil
        }
    }

    private static func dictionaryMethod(_ name: String, _ dictionary: Value.Dictionary) -> Value? {
        switch name {
        case "items":
            return function(name) { (_, _) throws(TemplateError) in
                .list(dictionary.members.map { .list([$0.key, $0.value]) })
            }
        case "keys":
            return function(name) { (_, _) throws(TemplateError) in
                .list(dictionary.members.map(\.key))
            }
        case "values":
            return function(name) { (_, _) throws(TemplateError) in
                .list(dictionary.members.map(\.value))
            }
        case "get":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                guard let key = arguments.value(0, "key") else {
                    throw interpreter.fail("get needs a key")
                }
                return dictionary[key] ?? arguments.value(1, "default") ?? .none
            }
        default: return nil
        }
    }

    private static func list(_ name: String, _ elements: [Value]) -> Value? {
        switch name {
        case "index":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                try interpreter.weigh(.list(elements))
                guard let wanted = arguments.value(0, "value"),
                    let index = elements.firstIndex(of: wanted)
                else { throw interpreter.fail("the value is not in the list") }
                return .integer(index)
            }
        case "count":
            return function(name) { (interpreter, arguments) throws(TemplateError) in
                let wanted = arguments.value(0, "value")
                try interpreter.weigh(.list(elements))
                return .integer(elements.count { $0 == wanted })
            }
        default: return nil
        }
    }
}
