package import Answers
package import Grammar
internal import JSONTree

/// What an answer may be, as a grammar, where it has tool calls, thoughts, or a form.
package enum CallGrammar {
    /// An answer that calls tools as a request allows it.
    ///
    /// - Throws: `GrammarError` for what cannot be enforced; `GenerationError` for a model whose way to write calls is not
    ///   known.
    package static func answer(_ use: ToolUse, _ format: AnswerFormat) throws -> GrammarSource {
        guard let calls = format.calls, calls != .pythonic else {
            throw GenerationError(
                .notShown("tool_choice"),
                "Tool calls cannot be enforced here: how this model writes them is not known from its chat template."
            )
        }
        let tools = try use.allowed.map { Tool(name: $0.name, schema: try schema(of: $0)) }
        let most = use.isSingle ? 1 : nil
        let block = block(tools, calls, most: most)
        if use.isNeeded { return block }
        // Text in which calls may stand.
        guard let leading = calls.leading else {
            let free = GrammarSource.free(without: calls.triggers)
            return .sequence([
                .repeated(
                    .sequence([free, block]), between: .literal(""), least: 0,
                    most: calls.isWhole ? 1 : most), free,
            ])
        }
        return .either([block, .pattern("\\s*(?:[^\\s\\\(leading)][\\s\\S]*)?")])
    }

    /// An answer behind thoughts, where the model may have them.
    ///
    /// - Parameter prompt: the text that the answer follows.
    package static func thoughts(
        _ format: ThoughtFormat?, before answer: GrammarSource, prompt: String
    ) -> GrammarSource {
        guard let format, !AnswerParser.isClosed(prompt, format) else { return answer }
        let end: [GrammarSource] = [
            .free(without: [format.end]), .marker(format.end), .pattern("[ \\t\\r\\n]{0,8}"),
        ]
        if AnswerParser.isOpen(prompt, format) { return .sequence(end + [answer]) }
        return .either([answer, .sequence([.marker(format.begin)] + end + [answer])])
    }

    private struct Tool {
        var name: String
        var schema: GrammarSource

        /// In quotes.
        var quoted: String { JSON.string(name).text() }
    }

    /// What arguments must be. A schema that cannot be enforced is let off where nobody asked for it.
    private static func schema(of tool: ToolUse.Tool) throws(GrammarError) -> GrammarSource {
        guard let parameters = tool.parameters else { return .jsonObject }
        // Arguments are an object, whatever else the schema says.
        let closed = closed(parameters, depth: 16)
        let object: JSON = ["allOf": [["type": "object"], closed]]
        let source = closed["type"] == "object" ? closed : object
        do throws(GrammarError) {
            _ = try SchemaChecker(source)
            return .schema(source)
        } catch {
            guard tool.isStrict else { return .jsonObject }
            throw error
        }
    }

    /// Beside which a schema of an object leaves it open what other properties are for.
    private static let opening = [
        "additionalProperties", "patternProperties", "unevaluatedProperties", "allOf", "anyOf",
        "oneOf", "$ref", "if", "dependentSchemas", "minProperties",
    ]

    /// A schema whose objects have the properties that it names and no others, where it does not say otherwise: those
    /// are what a tool understands, and a model is not to go on inventing more.
    private static func closed(_ schema: JSON, depth: Int) -> JSON {
        guard depth > 0, var object = schema.objectValue else { return schema }
        for name in ["properties", "$defs", "definitions"] {
            guard let members = object[name]?.objectValue?.members else { continue }
            object[name] = .object(
                JSON.Object(members.map { ($0.name, closed($0.value, depth: depth - 1)) }))
        }
        if let items = object["items"] { object["items"] = closed(items, depth: depth - 1) }
        if object["properties"] != nil, !opening.contains(where: { object[$0] != nil }) {
            object["additionalProperties"] = false
        }
        return .object(object)
    }

    /// One call or several.
    private static func block(
        _ tools: [Tool], _ format: CallFormat, most: Int?
    ) -> GrammarSource {
        func calls(_ between: String, _ one: (Tool) -> [GrammarSource]) -> GrammarSource {
            .repeated(
                .either(tools.map { .sequence(one($0)) }), between: .literal(between), least: 1,
                most: most)
        }
        func object(_ tool: Tool, _ key: String) -> [GrammarSource] {
            [.literal("{\"name\": \(tool.quoted), \"\(key)\": "), tool.schema, .literal("}")]
        }
        switch format {
        case .hermes:
            return calls("\n") { tool in
                [.marker("<tool_call>"), .literal("\n")] + object(tool, "arguments") + [
                    .literal("\n"), .marker("</tool_call>"),
                ]
            }
        case .qwenCoder:
            return calls("\n") { tool in
                [.marker("<tool_call>"), .literal("\n<function=\(tool.name)>\n")]
                    + parameters(tool) + [.literal("</function>\n"), .marker("</tool_call>")]
            }
        case .generic: return calls("\n") { object($0, "arguments") }
        case .llama, .pythonic: return calls("; ") { object($0, "parameters") }
        case .mistral:
            return .sequence([
                .marker("[TOOL_CALLS]"), .literal("["), calls(", ") { object($0, "arguments") },
                .literal("]"),
            ])
        case .mistralNew:
            return calls("") { tool in
                [.marker("[TOOL_CALLS]"), .literal(tool.name), .marker("[ARGS]"), tool.schema]
            }
        case .deepseek:
            return .sequence([
                .marker("<｜tool▁calls▁begin｜>"),
                calls("\n") { tool in
                    [
                        .marker("<｜tool▁call▁begin｜>"), .literal("function"),
                        .marker("<｜tool▁sep｜>"), .literal(tool.name + "\n```json\n"), tool.schema,
                        .literal("\n```"), .marker("<｜tool▁call▁end｜>"),
                    ]
                }, .marker("<｜tool▁calls▁end｜>"),
            ])
        }
    }

    /// Parameters as Qwen's coder writes them, in the order of the schema: strings as they are, everything else as JSON.
    private static func parameters(_ tool: Tool) -> [GrammarSource] {
        guard case .schema(let schema) = tool.schema else {
            let one = GrammarSource.sequence([
                .literal("<parameter="), .pattern("[A-Za-z0-9_.-]+"), .literal(">\n"),
                .free(without: ["</parameter>"]), .literal("\n</parameter>\n"),
            ])
            return [.repeated(one, between: .literal(""), least: 0, most: nil)]
        }
        let required = Set(
            (schema["required"]?.arrayValue ?? []).compactMap(\.stringValue))
        return (schema["properties"]?.objectValue?.members ?? []).map { name, property in
            let one = GrammarSource.sequence([
                .literal("<parameter=\(name)>\n"), value(property), .literal("\n</parameter>\n"),
            ])
            return required.contains(name) ? one : .either([.literal(""), one])
        }
    }

    private static func value(_ schema: JSON) -> GrammarSource {
        guard schema["type"] == "string" else { return .schema(schema) }
        let texts = schema["enum"]?.arrayValue?.compactMap(\.stringValue)
        if let texts, !texts.isEmpty { return .choice(texts) }
        return .free(without: ["</parameter>"])
    }
}
