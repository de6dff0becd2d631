public import JSONTree

/// What a request wants its answer to be, in any of the ways that clients say it: OpenAI's `response_format`, vLLM's
/// `structured_outputs` and the `guided_…` before it, llama.cpp's `grammar` and `json_schema`, SGLang's `regex` and `ebnf`.
public enum AnswerForm: Hashable, Sendable {
    case schema(JSON)
    /// One of which keywords that cannot be enforced may be dropped.
    case lenientSchema(JSON)
    case jsonObject
    case pattern(String)
    case choice([String])
    /// A grammar in GBNF.
    case notation(String)
    /// vLLM's tags, old and new.
    case structuralTag(JSON)

    /// Choices and bytes of all of them.
    private static let mostChoices = 10_000
    private static let mostChoiceBytes = 1 << 20

    /// - Returns: the form, and the parameter that has it.
    static func read(
        _ parameters: inout Parameters
    ) throws(APIError) -> (form: AnswerForm?, parameter: String?) {
        var found: [(name: String, form: AnswerForm)] = []
        if let form = try responseFormat(&parameters) { found.append(("response_format", form)) }
        if let value = parameters.json("structured_outputs") {
            found.append(("structured_outputs", try structured(value)))
        }
        for name in ["guided_json", "json_schema"] {
            if let value = parameters.json(name) { found.append((name, try schema(value, name))) }
        }
        for name in ["guided_regex", "regex"] {
            if let text = try parameters.string(name) { found.append((name, .pattern(text))) }
        }
        if let value = parameters.json("guided_choice") {
            found.append(("guided_choice", try choice(value, "guided_choice")))
        }
        for name in ["grammar", "guided_grammar", "ebnf"] {
            if let text = try parameters.string(name) { found.append((name, .notation(text))) }
        }
        if let value = parameters.json("structural_tag") {
            found.append(("structural_tag", try tag(value, "structural_tag")))
        }
        for name in ["guided_decoding_backend", "guided_whitespace_pattern"] {
            try parameters.accept(name, because: "there is one way to enforce a form.")
        }
        if found.count > 1 {
            throw .invalid(
                found[1].name,
                "\(found[0].name) and \(found[1].name) both say what the answer must be: send one.")
        }
        return (found.first?.form, found.first?.name)
    }

    private static func responseFormat(
        _ parameters: inout Parameters
    ) throws(APIError) -> AnswerForm? {
        guard let format = parameters.json("response_format") else { return nil }
        var inner = try Parameters(format, path: "response_format")
        let type = try inner.string("type") ?? "text"
        let form: AnswerForm?
        switch type {
        case "text": form = nil
        case "json_object":
            // With a schema beside it, as llama.cpp has it.
            form =
                try inner.json("schema").map { (value) throws(APIError) in
                    try schema(value, "response_format.schema")
                } ?? .jsonObject
        case "json_schema":
            if let flat = inner.json("schema") {
                form = try schema(
                    flat, "response_format.schema", isStrict: try inner.bool("strict"))
                inner.ignore("name", "description")
                break
            }
            guard let value = inner.json("json_schema") else {
                throw .invalid(
                    "response_format",
                    "response_format.json_schema is missing: it holds name and schema.")
            }
            var named = try Parameters(value, path: "response_format.json_schema")
            _ = try named.string("name")
            let isStrict = try named.bool("strict")
            named.ignore("description")
            guard let wanted = named.json("schema") else {
                throw .invalid(
                    "response_format", "response_format.json_schema.schema is missing.")
            }
            try named.finish()
            form = try schema(
                wanted, "response_format.json_schema.schema", isStrict: isStrict)
        // Read where tags are read.
        case "structural_tag": return .structuralTag(format)
        default:
            throw .unsupported(
                "response_format",
                "response_format.type = \"\(type.prefix(100))\" is not supported: text, json_object, json_schema and structural_tag are."
            )
        }
        try inner.finish()
        return form
    }

    private static func structured(_ value: JSON) throws(APIError) -> AnswerForm {
        let path = "structured_outputs"
        var inner = try Parameters(value, path: path)
        var found: [AnswerForm] = []
        if let value = inner.json("json") { found.append(try schema(value, path + ".json")) }
        if let text = try inner.string("regex") { found.append(.pattern(text)) }
        if let value = inner.json("choice") { found.append(try choice(value, path + ".choice")) }
        if try inner.bool("json_object") == true { found.append(.jsonObject) }
        if let text = try inner.string("grammar") { found.append(.notation(text)) }
        if let value = inner.json("structural_tag") {
            found.append(try tag(value, path + ".structural_tag"))
        }
        for name in ["disable_any_whitespace", "disable_additional_properties", "disable_fallback"]
        {
            try inner.accept(name, only: false, because: "schemas are enforced as they are.")
        }
        try inner.accept("whitespace_pattern", because: "space is bounded in one way for all.")
        try inner.finish()
        guard found.count == 1 else {
            throw .invalid(
                path,
                "\(path) wants exactly one of json, regex, choice, grammar, json_object and structural_tag."
            )
        }
        return found[0]
    }

    /// Tags, or their text.
    private static func tag(_ value: JSON, _ name: String) throws(APIError) -> AnswerForm {
        guard let text = value.stringValue else { return .structuralTag(value) }
        guard let parsed = try? JSON(parsing: Array(text.utf8)) else {
            throw .invalid(name, "\(name) is not JSON.")
        }
        return .structuralTag(parsed)
    }

    /// A schema, or its text.
    ///
    /// - Parameter isStrict: only who says false has keywords dropped.
    private static func schema(
        _ value: JSON, _ name: String, isStrict: Bool? = nil
    ) throws(APIError) -> AnswerForm {
        switch value {
        case .object, .bool: return isStrict == false ? .lenientSchema(value) : .schema(value)
        case .string(let text):
            guard let parsed = try? JSON(parsing: Array(text.utf8)) else {
                throw .invalid(name, "\(name) is not JSON.")
            }
            return isStrict == false ? .lenientSchema(parsed) : .schema(parsed)
        default: throw .invalid(name, "\(name) must be a JSON Schema.")
        }
    }

    private static func choice(_ value: JSON, _ name: String) throws(APIError) -> AnswerForm {
        let texts = value.arrayValue?.compactMap(\.stringValue) ?? []
        guard !texts.isEmpty, texts.count == value.arrayValue?.count,
            texts.count <= mostChoices,
            texts.reduce(0, { $0 + $1.utf8.count }) <= mostChoiceBytes,
            texts.allSatisfy({ !$0.isEmpty })
        else {
            throw .invalid(
                name, "\(name) must be a list of 1 to \(mostChoices) texts that are not empty.")
        }
        return .choice(texts)
    }
}
