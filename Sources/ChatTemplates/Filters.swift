internal import Foundation
internal import JSONTree

/// Jinja's filters, those that chat templates use.
enum Filters {
    /// By the names of their parameters; nil for those that hand theirs on.
    private static let parameters: [String: [String]?] = [
        "abs": [], "capitalize": [], "count": [], "d": ["default_value", "boolean"],
        "default": ["default_value", "boolean"], "dictsort": ["case_sensitive", "by", "reverse"],
        "e": [], "escape": [], "first": [], "float": ["default"],
        "indent": ["width", "first", "blank"], "int": ["default", "base"], "items": [],
        "join": ["d", "attribute"], "last": [], "length": [], "list": [], "lower": [],
        "map": nil, "max": ["case_sensitive", "attribute"], "min": ["case_sensitive", "attribute"],
        "reject": nil, "rejectattr": nil, "replace": ["old", "new", "count"], "reverse": [],
        "round": ["precision", "method"], "safe": [], "select": nil, "selectattr": nil,
        "sort": ["reverse", "case_sensitive", "attribute"], "string": [],
        "sum": ["attribute", "start"], "title": [],
        "tojson": ["ensure_ascii", "indent", "separators", "sort_keys"], "trim": ["chars"],
        "unique": ["case_sensitive", "attribute"], "upper": [], "wordcount": [],
    ]

    static let names = Set(parameters.keys)

    private static func check(
        _ name: String, _ arguments: CallArguments, _ interpreter: Interpreter
    ) throws(TemplateError) {
        guard let known = parameters[name] ?? nil else { return }
        guard arguments.positional.count <= known.count else {
            throw interpreter.fail("\(name) takes \(known.count) arguments at most")
        }
        for (argument, _) in arguments.named {
            let place = known.firstIndex(of: argument) ?? -1
            guard place >= arguments.positional.count else {
                throw interpreter.fail("\(name) does not take \(argument), or has it already")
            }
        }
    }

    static func apply(
        _ name: String, to value: Value, _ arguments: CallArguments,
        _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Value {
        try check(name, arguments, interpreter)
        return try interpreter.bounded(try result(of: name, value, arguments, &interpreter))
    }

    private static func result(
        of name: String, _ value: Value, _ arguments: CallArguments,
        _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Value {
        switch name {
        case "default", "d":
            let usesFalse = arguments.value(1, "boolean")?.isTrue ?? false
            return value.isUndefined || usesFalse && !value.isTrue
                ? arguments.value(0, "default_value") ?? .string("") : value
        case "tojson": return .string(try json(value, arguments, &interpreter))
        case "abs", "round": return try number(name, value, arguments, interpreter)
        case "int", "float":
            guard !value.isUndefined else { throw interpreter.fail("\(name) of \(value.kind)") }
            try interpreter.weigh(value)
            return try Numbers.convert(name, value, arguments, interpreter)
        case "safe", "string", "e", "escape", "trim", "upper", "lower", "title", "capitalize",
            "wordcount", "indent", "replace":
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
        // What stays marked as safe.
        func same(_ text: String) -> Value {
            if case .markup = value { return .markup(text) }
            return .string(text)
        }
        switch name {
        case "safe": return .markup(text)
        case "string": return same(text)
        case "e", "escape":
            if case .markup = value { return value }
            try interpreter.spend(bytes: 6 * text.utf8.count)
            return .markup(Strings.escaped(text))
        case "trim": return same(Strings.strip(text, arguments.value(0, "chars")?.text))
        case "upper": return same(text.uppercased())
        case "lower": return same(Strings.lower(text))
        case "title": return .string(Strings.titleByWords(text))
        case "capitalize": return same(Strings.capitalize(text))
        case "wordcount": return .integer(Strings.wordCount(text))
        case "indent":
            guard value.string != nil else {
                throw interpreter.fail("indent needs a string, not \(value.kind)")
            }
            return same(try indented(text, arguments, &interpreter))
        default:
            guard let old = arguments.value(0, "old"), let new = arguments.value(1, "new") else {
                throw interpreter.fail("replace needs two arguments")
            }
            return .string(
                try Strings.replace(
                    text, try interpreter.text(of: old), with: try interpreter.text(of: new),
                    limit: arguments.value(2, "count")?.integer ?? -1, &interpreter))
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
            if case .undefined = value, name == "items" { return .generator([]) }
            guard case .dictionary(let dictionary) = value else {
                throw interpreter.fail("\(name) needs a mapping, not \(value.kind)")
            }
            return name == "items"
                ? .generator(Value.pairs(dictionary))
                : .list(try sorted(dictionary, arguments, &interpreter))
        }
        if let text = value.string {
            switch name {
            case "length", "count":
                try interpreter.spend(bytes: text.utf8.count)
                return .integer(text.unicodeScalars.count)
            case "first", "last":
                let scalars = text.unicodeScalars
                guard let one = name == "first" ? scalars.first : scalars.last else {
                    return .undefined(name)
                }
                if case .markup = value { return .markup(String(one)) }
                return .string(String(one))
            default: try interpreter.spend(text.utf8.count)
            }
        }
        if value.isGenerator, ["length", "count", "last"].contains(name) {
            throw interpreter.fail("\(name) needs a list, not \(value.kind)")
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
            if value.string != nil { return .string(elements.reversed().map(\.text).joined()) }
            return value.isGenerator ? .list(elements.reversed()) : .generator(elements.reversed())
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
            guard sum.string == nil else { throw interpreter.fail("sum cannot add strings") }
            for element in elements {
                var part = element
                if let attribute = arguments.value(0, "attribute") {
                    part = try interpreter.path(attribute.text, in: element)
                }
                sum = try Operators.apply("+", sum, part, &interpreter)
            }
            return sum
        case "min", "max":
            let keys = try keys(
                of: elements, arguments.value(1, "attribute"),
                isCaseSensitive: arguments.value(0, "case_sensitive"), &interpreter)
            guard var best = elements.indices.first else { return .undefined(name) }
            for index in elements.indices.dropFirst() {
                let (a, b) = name == "min" ? (index, best) : (best, index)
                if try isLess(keys[a], keys[b], interpreter) { best = index }
            }
            return elements[best]
        case "unique":
            let keys = try keys(
                of: elements, arguments.value(1, "attribute"),
                isCaseSensitive: arguments.value(0, "case_sensitive"), &interpreter)
            var seen: [Value] = []
            var kept: [Value] = []
            for (key, element) in zip(keys, elements) {
                guard key.isHashable else {
                    throw interpreter.fail("unique cannot tell \(key.kind)")
                }
                try interpreter.spend(seen.count)
                if seen.contains(key) { continue }
                seen.append(key)
                kept.append(element)
            }
            return .generator(kept)
        case "sort":
            let keys = try keys(
                of: elements, arguments.value(2, "attribute"),
                isCaseSensitive: arguments.value(1, "case_sensitive"), &interpreter)
            return .list(
                try sorted(
                    elements, by: keys,
                    isReversed: arguments.value(0, "reverse")?.isTrue ?? false, &interpreter))
        case "map":
            if let attribute = arguments.named.first(where: { $0.name == "attribute" })?.value {
                let fallback = arguments.named.first { $0.name == "default" }?.value
                guard arguments.positional.isEmpty,
                    arguments.named.count == (fallback == nil ? 1 : 2)
                else { throw interpreter.fail("map takes an attribute and a default") }
                var mapped: [Value] = []
                for element in elements {
                    mapped.append(
                        try interpreter.path(attribute.text, in: element, fallback: fallback))
                }
                return .generator(mapped)
            }
            guard !elements.isEmpty else { return .generator([]) }
            guard let filter = arguments.positional.first?.text, names.contains(filter) else {
                throw interpreter.fail("map needs a filter or an attribute")
            }
            let rest = CallArguments(
                positional: Array(arguments.positional.dropFirst()), named: arguments.named)
            var mapped: [Value] = []
            for element in elements {
                mapped.append(try apply(filter, to: element, rest, &interpreter))
            }
            return .generator(mapped)
        default:  // select, reject, selectattr, rejectattr
            let usesAttribute = name.hasSuffix("attr")
            var positional = arguments.positional[...]
            let attribute = usesAttribute ? positional.popFirst()?.text : nil
            guard attribute != nil || !usesAttribute || elements.isEmpty else {
                throw interpreter.fail("\(name) needs an attribute")
            }
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
            return .generator(kept)
        }
    }

    // MARK: Order

    /// What elements are compared by: themselves or an attribute, small letters for capitals unless
    /// the case counts.
    private static func keys(
        of elements: [Value], _ attribute: Value?, isCaseSensitive: Value?,
        _ interpreter: inout Interpreter
    ) throws(TemplateError) -> [Value] {
        let path: String?
        switch attribute {
        case nil, Value.none?: path = nil
        case let attribute?: path = attribute.text
        }
        var keys: [Value] = []
        for element in elements {
            var key = element
            if let path { key = try interpreter.path(path, in: element) }
            try interpreter.weigh(key)
            if let text = key.string, isCaseSensitive?.isTrue != true {
                key = .string(Strings.lower(text))
            }
            keys.append(key)
        }
        return keys
    }

    private static func isLess(
        _ a: Value, _ b: Value, _ interpreter: Interpreter
    ) throws(TemplateError) -> Bool {
        guard let isLess = Value.isLess(a, b) else {
            throw interpreter.fail("cannot compare \(a.kind) with \(b.kind)")
        }
        return isLess
    }

    /// In the order of their keys, those with equal ones as they were.
    private static func sorted(
        _ elements: [Value], by keys: [Value], isReversed: Bool, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> [Value] {
        try interpreter.spend(elements.count * 16)
        for (a, b) in zip(keys, keys.dropFirst()) { _ = try isLess(a, b, interpreter) }
        let places = elements.indices.sorted { a, b in
            let (x, y) = isReversed ? (keys[b], keys[a]) : (keys[a], keys[b])
            return Value.isLess(x, y) ?? false || !(Value.isLess(y, x) ?? false) && a < b
        }
        return places.map { elements[$0] }
    }

    private static func sorted(
        _ dictionary: Value.Dictionary, _ arguments: CallArguments,
        _ interpreter: inout Interpreter
    ) throws(TemplateError) -> [Value] {
        let by = arguments.value(1, "by")?.text ?? "key"
        guard by == "key" || by == "value" else {
            throw interpreter.fail("dictsort sorts by key or value, not by \(by)")
        }
        let keys = try keys(
            of: dictionary.members.map { by == "key" ? $0.key : $0.value }, nil,
            isCaseSensitive: arguments.value(0, "case_sensitive"), &interpreter)
        return try sorted(
            Value.pairs(dictionary), by: keys,
            isReversed: arguments.value(2, "reverse")?.isTrue ?? false, &interpreter)
    }

    // MARK: Texts

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
        var indent: String?
        switch arguments.value(1, "indent") {
        case nil, Value.none?: break
        case let value?:
            guard
                let text = value.string
                    ?? value.integer.map({ count in
                        String(repeating: " ", count: max(0, min(count, maximumIndent + 1)))
                    })
            else { throw interpreter.fail("indent is a number or a string") }
            guard text.utf8.count <= maximumIndent else {
                throw interpreter.fail("an indentation of more than \(maximumIndent)", .limit)
            }
            indent = text
        }
        try interpreter.spend(weight.nodeCount * (indent?.utf8.count ?? 0))
        var style = JSON.Style.python(
            indent: indent, escapesNonASCII: arguments.value(0, "ensure_ascii")?.isTrue ?? false)
        switch arguments.value(2, "separators") {
        case nil, Value.none?: break
        case .list(let separators)? where separators.count == 2:
            (style.separator, style.colon) = (separators[0].text, separators[1].text)
        case .sequence(let pair)? where pair.kind == .tuple && pair.waiting.count == 2:
            (style.separator, style.colon) = (pair.waiting[0].text, pair.waiting[1].text)
        default: throw interpreter.fail("separators are two texts")
        }
        let sorts = arguments.value(3, "sort_keys")?.isTrue ?? false
        guard !sorts || value.hasSortableKeys else {
            throw interpreter.fail("keys of different kinds cannot be sorted")
        }
        return (sorts ? json.sorted : json).text(style)
    }

    private static func indented(
        _ text: String, _ arguments: CallArguments, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> String {
        let width = arguments.value(0, "width") ?? .integer(4)
        guard let count = width.integer ?? width.string?.utf8.count, count <= 1000 else {
            throw interpreter.fail("an indentation out of bounds")
        }
        let space = width.string ?? String(repeating: " ", count: max(0, count))
        let first = arguments.value(1, "first")?.isTrue ?? false
        let blank = arguments.value(2, "blank")?.isTrue ?? false
        let lines = Strings.lines(text + "\n")
        try interpreter.spend(bytes: text.utf8.count + lines.count * space.utf8.count)
        return lines.enumerated().map { index, line in
            index == 0 && first || index > 0 && (blank || !line.isEmpty) ? space + line : line
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
