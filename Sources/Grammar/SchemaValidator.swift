internal import JSONTree

/// Whether a value satisfies a part of a schema: for values that schemas list, and for what is beside them.
struct SchemaValidator {
    private(set) var document: SchemaDocument
    private let matcher: PatternMatcher
    private var depth = 0
    /// Parts of schemas that values were held against.
    private(set) var work = 0
    private static let mostWork = 400_000

    init(document: SchemaDocument, matcher: PatternMatcher) {
        self.document = document
        self.matcher = matcher
    }

    private func refusal(_ node: Int, _ keyword: String) -> GrammarError {
        GrammarError(
            .unsupported, "\(keyword): cannot be checked",
            pointer: document.nodes[node].pointer, keyword: keyword)
    }

    private func child(_ node: Int, _ path: String...) throws(GrammarError) -> Int {
        let found =
            path.count == 1 ? document.child(node, path[0]) : document.child(node, path[0], path[1])
        guard let found else { throw refusal(node, path[0]) }
        return found
    }

    mutating func isValid(_ value: JSON, _ node: Int) throws(GrammarError) -> Bool {
        let schema = document.nodes[node].schema
        if case .bool(let answer) = schema { return answer }
        guard let object = schema.objectValue else { throw refusal(node, "schema") }
        depth += 1
        work += 1
        defer { depth -= 1 }
        guard depth < 200, work <= Self.mostWork else {
            throw GrammarError(
                .tooComplex,
                depth < 200 ? "the schema takes too much work" : "the schema leads back to itself",
                pointer: document.nodes[node].pointer)
        }
        for (keyword, argument) in document.assertions(object) {
            guard try check(keyword, argument, value, node, object) else { return false }
        }
        return true
    }

    private mutating func check(
        _ keyword: String, _ argument: JSON, _ value: JSON, _ node: Int, _ object: JSON.Object
    ) throws(GrammarError) -> Bool {
        switch keyword {
        case "$ref": return try isValid(value, try document.target(of: node))
        case "type":
            let types = (argument.arrayValue ?? [argument]).compactMap {
                $0.stringValue.flatMap { TypeSet($0) }
            }
            return types.contains { !$0.isDisjoint(with: TypeSet(of: value)) }
        case "enum":
            return document.listed[node]?.contains(value) ?? false
        case "const": return argument.isSameValue(as: value)
        case "allOf", "anyOf", "oneOf":
            var count = 0
            let parts = argument.arrayValue ?? []
            for index in parts.indices {
                if try isValid(value, try child(node, keyword, "\(index)")) { count += 1 }
            }
            return keyword == "allOf"
                ? count == parts.count : keyword == "anyOf" ? count > 0 : count == 1
        case "not": return try !isValid(value, try child(node, keyword))
        case "if":
            let branch = try isValid(value, try child(node, keyword)) ? "then" : "else"
            return object[branch] == nil ? true : try isValid(value, try child(node, branch))
        case "$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties":
            throw refusal(node, keyword)
        default: break
        }
        switch value {
        case .string(let text): return try check(keyword, argument, text, node)
        case .integer, .largeInteger, .number:
            return try checkNumber(keyword, argument, value, node, object)
        case .array(let items): return try check(keyword, argument, items, node, object)
        case .object(let members): return try check(keyword, argument, members, node, object)
        case .null, .bool: return true
        }
    }

    private func size(_ argument: JSON) -> Int {
        Int(max(0, min(argument.doubleValue ?? 0, 1e9)))
    }

    private func check(
        _ keyword: String, _ argument: JSON, _ text: String, _ node: Int
    ) throws(GrammarError) -> Bool {
        switch keyword {
        case "minLength": return text.unicodeScalars.count >= size(argument)
        case "maxLength": return text.unicodeScalars.count <= size(argument)
        case "pattern": return try matches(text, argument.stringValue ?? "", node, isWhole: false)
        case "format":
            guard document.meansFormat(node) else { return true }
            guard !Formats.beyond.contains(argument.stringValue ?? "") else {
                throw refusal(node, keyword)
            }
            guard let pattern = Formats.pattern(argument.stringValue ?? "") else { return true }
            return try matches(text, pattern, node, isWhole: true)
        default: return true
        }
    }

    private func matches(
        _ text: String, _ pattern: String, _ node: Int, isWhole: Bool
    ) throws(GrammarError) -> Bool {
        do throws(GrammarError) {
            return try matcher.matches(text, pattern, isWhole: isWhole)
        } catch {
            throw GrammarError(
                error.code, error.message, pointer: document.nodes[node].pointer, keyword: "pattern"
            )
        }
    }

    private func checkNumber(
        _ keyword: String, _ argument: JSON, _ value: JSON, _ node: Int, _ object: JSON.Object
    ) throws(GrammarError) -> Bool {
        guard let limit = NumberBounds.Decimal(argument.text()), argument.doubleValue != nil,
            let number = NumberBounds.Decimal(value.text())
        else { return true }
        switch keyword {
        case "minimum":
            return number > limit || number == limit && object["exclusiveMinimum"] != .bool(true)
        case "maximum":
            return number < limit || number == limit && object["exclusiveMaximum"] != .bool(true)
        case "exclusiveMinimum": return number > limit
        case "exclusiveMaximum": return number < limit
        case "multipleOf":
            var languages = RegularLanguages()
            guard let language = languages.multiples(of: limit) else {
                throw refusal(node, keyword)
            }
            return languages.contains(Array(number.text.utf8), language)
        default: return true
        }
    }

    private mutating func check(
        _ keyword: String, _ argument: JSON, _ items: [JSON], _ node: Int, _ object: JSON.Object
    ) throws(GrammarError) -> Bool {
        switch keyword {
        case "minItems": return items.count >= size(argument)
        case "maxItems": return items.count <= size(argument)
        case "uniqueItems":
            guard argument == .bool(true) else { return true }
            return !items.indices.contains { index in
                items[..<index].contains { $0.isSameValue(as: items[index]) }
            }
        case "prefixItems":
            for (index, item) in items.enumerated() where index < argument.arrayValue?.count ?? 0 {
                guard try isValid(item, try child(node, keyword, "\(index)")) else { return false }
            }
        case "items":
            if let list = argument.arrayValue {
                for (index, item) in items.enumerated() where index < list.count {
                    guard try isValid(item, try child(node, keyword, "\(index)")) else {
                        return false
                    }
                }
                return true
            }
            for item in items.dropFirst(object["prefixItems"]?.arrayValue?.count ?? 0) {
                guard try isValid(item, try child(node, keyword)) else { return false }
            }
        case "additionalItems":
            guard let list = object["items"]?.arrayValue else { return true }
            for item in items.dropFirst(list.count) {
                guard try isValid(item, try child(node, keyword)) else { return false }
            }
        case "contains":
            var count = 0
            for item in items where try isValid(item, try child(node, keyword)) { count += 1 }
            return count >= object["minContains"].map(size) ?? 1
                && count <= object["maxContains"].map(size) ?? .max
        default: break
        }
        return true
    }

    private mutating func check(
        _ keyword: String, _ argument: JSON, _ members: JSON.Object, _ node: Int,
        _ object: JSON.Object
    ) throws(GrammarError) -> Bool {
        switch keyword {
        case "minProperties": return members.count >= size(argument)
        case "maxProperties": return members.count <= size(argument)
        case "required":
            return argument.arrayValue?.allSatisfy { members[$0.stringValue ?? ""] != nil } ?? true
        case "properties":
            for name in argument.objectValue?.names ?? [] {
                guard let value = members[name] else { continue }
                guard try isValid(value, try child(node, keyword, name)) else { return false }
            }
        case "patternProperties":
            for pattern in argument.objectValue?.names ?? [] {
                for (name, value) in members.members
                where try matches(name, pattern, node, isWhole: false) {
                    guard try isValid(value, try child(node, keyword, pattern)) else {
                        return false
                    }
                }
            }
        case "additionalProperties":
            let patterns = object["patternProperties"]?.objectValue?.names ?? []
            members: for (name, value) in members.members {
                if object["properties"]?[name] != nil { continue }
                for pattern in patterns where try matches(name, pattern, node, isWhole: false) {
                    continue members
                }
                guard try isValid(value, try child(node, keyword)) else { return false }
            }
        case "propertyNames":
            for name in members.names {
                guard try isValid(.string(name), try child(node, keyword)) else { return false }
            }
        case "dependentRequired", "dependencies", "dependentSchemas":
            for (name, part) in argument.objectValue?.members ?? [] where members[name] != nil {
                if let needs = part.arrayValue {
                    guard needs.allSatisfy({ members[$0.stringValue ?? ""] != nil }) else {
                        return false
                    }
                } else {
                    guard try isValid(.object(members), try child(node, keyword, name)) else {
                        return false
                    }
                }
            }
        default: break
        }
        return true
    }
}

extension NumberBounds.Decimal {
    /// Without an exponent.
    var text: String {
        let digits = String(decoding: whole.isEmpty ? [0x30] : whole, as: UTF8.self)
        let behind = fraction.isEmpty ? "" : "." + String(decoding: fraction, as: UTF8.self)
        return (isNegative ? "-" : "") + digits + behind
    }
}
