internal import Foundation
internal import JSONTree

/// Jinja's filters, those that chat templates use.
enum Filters {
    static let names: Set<String> = [
        "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float",
        "from_json",
        "indent", "int", "items", "join", "last", "length", "list", "lower", "lstrip", "map", "max",
        "min",
        "reject", "rejectattr", "replace", "reverse", "round", "rstrip", "safe", "select",
        "selectattr",
        "sort", "string", "strip", "sum", "title", "tojson", "trim", "unique", "upper", "wordcount",
    ]

    static func apply(
        _ name: String, to value: Value, _ arguments: CallArguments,
        _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Value {
        switch name {
        case "default", "d":
            let usesFalse = arguments.value(1, "boolean")?.isTrue ?? false
            return value.isUndefined || usesFalse && !value.isTrue
                ? arguments.value(0, "default_value") ?? .string("") : value
        case "tojson": return .string(try json(value, arguments, &interpreter))
        case "abs", "round": return try number(name, value, arguments, interpreter)
        case "safe": return value
        case "string", "from_json", "e", "escape", "trim", "strip", "lstrip", "rstrip", "upper",
            "lower", "title", "capitalize", "wordcount", "indent", "replace", "int", "float":
            // Made once, after it is weighed; what follows only goes through it.
            return try text(name, value, try interpreter.text(of: value), arguments, &interpreter)
        default: return try sequence(name, value, arguments, &interpreter)
        }
    }

    /// Filters over texts, and over numbers that are written as such.
    private static func text(
        _ name: String, _ value: Value, _ text: String, _ arguments: CallArguments,
        _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Value {
        switch name {
        case "string": return .string(text)
        case "from_json":
            do {
                return Value(
                    try JSON(
                        parsing: text, limits: JSON.Limits(byteCount: 1 << 20, depth: 64)))
            } catch {
                throw interpreter.fail("from_json: \(error)")
            }
        case "e", "escape": return .string(escaped(text))
        case "trim", "strip":
            return .string(Strings.strip(text, arguments.value(0, "chars")?.text))
        case "lstrip":
            return .string(
                Strings.strip(text, arguments.value(0, "chars")?.text, right: false))
        case "rstrip":
            return .string(
                Strings.strip(text, arguments.value(0, "chars")?.text, left: false))
        case "upper": return .string(text.uppercased())
        case "lower": return .string(text.lowercased())
        case "title": return .string(Strings.titleByWords(text))
        case "capitalize": return .string(Strings.capitalize(text))
        case "wordcount": return .integer(Strings.split(text, nil).count)
        case "indent": return .string(try indented(text, arguments, &interpreter))
        case "replace":
            guard let old = arguments.value(0, "old"), let new = arguments.value(1, "new") else {
                throw interpreter.fail("replace needs two arguments")
            }
            return .string(
                try Strings.replace(
                    text, try interpreter.text(of: old), with: try interpreter.text(of: new),
                    limit: arguments.value(2, "count")?.integer ?? -1, &interpreter))
        case "int":
            if let integer = value.integer { return .integer(integer) }
            if let number = value.numeric {
                guard let integer = Int(exactly: number.rounded(.towardZero)) else {
                    throw interpreter.fail("a number out of range")
                }
                return .integer(integer)
            }
            let text = Strings.strip(text, nil)
            return Int(text).map { .integer($0) }
                ?? Double(text).flatMap { Int(exactly: $0.rounded(.towardZero)) }.map {
                    .integer($0)
                }
                ?? arguments.value(0, "default") ?? .integer(0)
        default:
            return (value.numeric ?? Double(Strings.strip(text, nil))).map { .number($0) }
                ?? arguments.value(0, "default") ?? .number(0)
        }
    }

    private static func number(
        _ name: String, _ value: Value, _ arguments: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) -> Value {
        guard let number = value.numeric else {
            throw interpreter.fail("\(name) needs a number, not \(value.kind)")
        }
        if name == "abs" {
            guard let integer = value.integer else { return .number(Swift.abs(number)) }
            return integer < 0 ? try Operators.negated(value, "-", interpreter) : .integer(integer)
        }
        let precision = arguments.value(0, "precision") ?? .integer(0)
        guard let digits = precision.integer, digits.magnitude <= 400 else {
            throw interpreter.fail("round needs a number of digits, not \(precision.kind)")
        }
        switch arguments.value(1, "method")?.text ?? "common" {
        case "common":
            if let integer = value.integer {
                return .integer(try rounded(integer, digits, interpreter))
            }
            return .number(rounded(number, digits))
        case let method where method == "ceil" || method == "floor":
            let factor = pow(10, Double(digits))
            let scaled = number * factor
            return .number(
                (method == "ceil" ? scaled.rounded(.up) : scaled.rounded(.down)) / factor)
        default: throw interpreter.fail("round knows common, ceil and floor")
        }
    }

    /// Python's `round`: to the nearest decimal of so many digits, of two the even one.
    private static func rounded(_ number: Double, _ digits: Int) -> Double {
        guard number.isFinite, digits < 330 else { return number }
        if digits >= 0 { return Double(String(format: "%.\(digits)f", number)) ?? number }
        let factor = pow(10, Double(-digits))
        return factor.isFinite ? (number / factor).rounded(.toNearestOrEven) * factor : 0
    }

    private static func rounded(
        _ number: Int, _ digits: Int, _ interpreter: Interpreter
    ) throws(TemplateError) -> Int {
        guard digits < 0 else { return number }
        guard digits >= -18 else { return 0 }
        var factor = 1
        for _ in 0..<(-digits) { factor *= 10 }
        let (quotient, remainder) = try Operators.floorDivision(number, factor, interpreter)
        let isUp = remainder > factor / 2 || remainder == factor / 2 && quotient % 2 != 0
        let (result, overflows) = (quotient + (isUp ? 1 : 0)).multipliedReportingOverflow(
            by: factor)
        guard !overflows else { throw interpreter.fail("a number out of range") }
        return result
    }

    /// Filters over lists and mappings.
    private static func sequence(
        _ name: String, _ value: Value, _ arguments: CallArguments, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Value {
        if name == "items" || name == "dictsort" {
            if case .undefined = value, name == "items" { return .list([]) }
            guard case .dictionary(let dictionary) = value else {
                throw interpreter.fail("\(name) needs a mapping, not \(value.kind)")
            }
            var members = dictionary.members
            if name == "dictsort" {
                members.sort {
                    Value.isLess(
                        .string($0.key.text.lowercased()), .string($1.key.text.lowercased()))
                        ?? false
                }
            }
            return .list(members.map { .list([$0.key, $0.value]) })
        }
        if case .string(let text) = value {
            switch name {
            case "length", "count":
                try interpreter.spend(bytes: text.utf8.count)
                return .integer(text.unicodeScalars.count)
            case "first":
                return text.unicodeScalars.first.map { .string(String($0)) } ?? .undefined("first")
            case "last":
                return text.unicodeScalars.last.map { .string(String($0)) } ?? .undefined("last")
            default: try interpreter.spend(text.utf8.count)
            }
        }
        guard let elements = value.elements else {
            throw interpreter.fail("\(name) needs a list, not \(value.kind)")
        }
        try interpreter.spend(elements.count)
        switch name {
        case "length", "count":
            return .integer(elements.count)
        case "list": return .list(elements)
        case "first": return elements.first ?? .undefined("first")
        case "last": return elements.last ?? .undefined("last")
        case "reverse":
            if case .string = value { return .string(elements.reversed().map(\.text).joined()) }
            return .list(elements.reversed())
        case "join":
            let attribute = arguments.value(1, "attribute")?.text
            var parts = elements
            if let attribute {
                parts = []
                for element in elements {
                    parts.append(try interpreter.path(attribute, in: element))
                }
            }
            return .string(
                try joined(parts, with: arguments.value(0, "d")?.text ?? "", &interpreter))
        case "sum":
            var sum = arguments.value(1, "start") ?? .integer(0)
            for element in elements {
                var part = element
                if let attribute = arguments.value(0, "attribute") {
                    part = try interpreter.path(attribute.text, in: element)
                }
                sum = try Operators.apply("+", sum, part, &interpreter)
            }
            return sum
        case "min", "max":
            let best = elements.dropFirst().reduce(elements.first) { best, element in
                guard let best else { return element }
                let isBetter =
                    name == "min" ? Value.isLess(element, best) : Value.isLess(best, element)
                return isBetter ?? false ? element : best
            }
            return best ?? .undefined(name)
        case "unique":
            var kept: [Value] = []
            for element in elements {
                try interpreter.spend(kept.count)
                if !kept.contains(element) { kept.append(element) }
            }
            return .list(kept)
        case "sort":
            let attribute = arguments.value(2, "attribute")?.text
            func key(
                _ element: Value, _ interpreter: inout Interpreter
            ) throws(TemplateError) -> Value {
                var key = element
                if let attribute { key = try interpreter.path(attribute, in: element) }
                try interpreter.weigh(key)
                if case .string(let text) = key,
                    arguments.value(1, "case_sensitive")?.isTrue != true
                {
                    return .string(text.lowercased())
                }
                return key
            }
            var keyed: [(Value, Value)] = []
            for element in elements { keyed.append((try key(element, &interpreter), element)) }
            try interpreter.spend(elements.count * 16)
            for (a, b) in zip(keyed, keyed.dropFirst()) where Value.isLess(a.0, b.0) == nil {
                throw interpreter.fail("cannot sort \(a.0.kind) and \(b.0.kind)")
            }
            let isReversed = arguments.value(0, "reverse")?.isTrue ?? false
            let sorted = keyed.enumerated().sorted { a, b in
                let (x, y) = isReversed ? (b, a) : (a, b)
                return Value.isLess(x.element.0, y.element.0) ?? false
                    || !(Value.isLess(y.element.0, x.element.0) ?? false) && a.offset < b.offset
            }
            return .list(sorted.map(\.element.1))
        case "map":
            if let attribute = arguments.named.first(where: { $0.name == "attribute" })?.value {
                let fallback = arguments.named.first { $0.name == "default" }?.value
                var mapped: [Value] = []
                for element in elements {
                    let found = try interpreter.path(attribute.text, in: element)
                    mapped.append(found.isUndefined ? fallback ?? found : found)
                }
                return .list(mapped)
            }
            guard let filter = arguments.positional.first?.text, names.contains(filter) else {
                throw interpreter.fail("map needs a filter or an attribute")
            }
            let rest = CallArguments(
                positional: Array(arguments.positional.dropFirst()), named: arguments.named)
            var mapped: [Value] = []
            for element in elements {
                mapped.append(try apply(filter, to: element, rest, &interpreter))
            }
            return .list(mapped)
        default:  // select, reject, selectattr, rejectattr
            let usesAttribute = name.hasSuffix("attr")
            var positional = arguments.positional[...]
            let attribute = usesAttribute ? positional.popFirst()?.text : nil
            let test = positional.popFirst()?.text
            if let test, !Tests.names.contains(test) {
                throw interpreter.fail("the test \(test) is not supported")
            }
            let rest = CallArguments(positional: Array(positional), named: arguments.named)
            var kept: [Value] = []
            for element in elements {
                var subject = element
                if let attribute { subject = try interpreter.path(attribute, in: element) }
                var holds = subject.isTrue
                if let test { holds = try Tests.holds(test, subject, rest, &interpreter) }
                if holds == name.hasPrefix("select") { kept.append(element) }
            }
            return .list(kept)
        }
    }

    /// Texts one after another, weighed before they are put together.
    static func joined(
        _ elements: [Value], with separator: String, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> String {
        let (gaps, overflows) = separator.utf8.count.multipliedReportingOverflow(by: elements.count)
        let size = try interpreter.weigh(.list(elements)).byteCount
        try interpreter.spend(bytes: overflows ? .max : min(gaps, .max - size) + size)
        return elements.map(\.text).joined(separator: separator)
    }

    private static let maximumIndent = 100

    /// As transformers overrides it: `json.dumps` without escaping what is not ASCII.
    private static func json(
        _ value: Value, _ arguments: CallArguments, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> String {
        let weight = try interpreter.weigh(value)
        guard let json = value.json else {
            throw interpreter.fail("cannot write \(value.kind) as JSON")
        }
        let indent = arguments.value(1, "indent")?.integer
        guard indent ?? 0 <= maximumIndent else {
            throw interpreter.fail("an indentation of more than \(maximumIndent)", .limit)
        }
        try interpreter.spend(weight.nodeCount * max(0, indent ?? 0))
        var style = JSON.Style.python(
            indent: indent.map { max(0, $0) },
            escapesNonASCII: arguments.value(0, "ensure_ascii")?.isTrue ?? false)
        if case .list(let separators)? = arguments.value(2, "separators"),
            separators.count == 2
        {
            style.separator = separators[0].text
            style.colon = separators[1].text
        }
        let sorts = arguments.value(3, "sort_keys")?.isTrue ?? false
        return (sorts ? json.sorted : json).text(style)
    }

    private static func escaped(_ text: String) -> String {
        [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&#34;"), ("'", "&#39;")]
            .reduce(text) { Strings.replace($0, $1.0, with: $1.1) }
    }

    private static func indented(
        _ text: String, _ arguments: CallArguments, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> String {
        let width = arguments.value(0, "width")?.integer ?? 4
        guard (0...1000).contains(width) else {
            throw interpreter.fail("an indentation out of bounds")
        }
        let space = String(repeating: " ", count: width)
        let first = arguments.value(1, "first")?.isTrue ?? false
        let blank = arguments.value(2, "blank")?.isTrue ?? false
        let lines = Strings.split(text, "\n")
        try interpreter.spend(bytes: text.utf8.count + lines.count * width)
        return lines.enumerated().map { index, line in
            (index > 0 || first) && (blank || !line.isEmpty) ? space + line : line
        }.joined(separator: "\n")
    }
}

extension JSON {
    /// With the members of every object in the order of their names.
    fileprivate var sorted: JSON {
        switch self {
        case .array(let elements): .array(elements.map(\.sorted))
        case .object(let object):
            .object(
                Object(
                    object.members.sorted {
                        $0.name.unicodeScalars.lexicographicallyPrecedes($1.name.unicodeScalars)
                    }
                    .map { ($0.name, $0.value.sorted) }))
        default: self
        }
    }
}
