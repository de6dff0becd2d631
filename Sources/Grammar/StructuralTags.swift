public import JSONTree

extension GrammarSource {
    /// vLLM's structural tags, old and new: text in which some beginnings lead to parts that must be of some form.
    ///
    /// - Throws: `GrammarError` naming the part that is not understood.
    public static func structuralTag(_ json: JSON) throws(GrammarError) -> GrammarSource {
        if let structures = json["structures"]?.arrayValue {
            let tags = try structures.mapTyped { (tag) throws(GrammarError) -> Tag in
                guard let begin = tag["begin"]?.stringValue, let end = tag["end"]?.stringValue,
                    let schema = tag["schema"]
                else { throw bad("structures: each has begin, schema and end") }
                return Tag(begin: begin, content: .schema(schema), ends: [end])
            }
            return try triggered(texts(json, "triggers"), tags, isNeeded: false, isLast: false)
        }
        guard let format = json["format"] else {
            throw bad("a structural tag has structures and triggers, or a format")
        }
        return try source(format, depth: 0)
    }

    private struct Tag {
        var begin: String
        var content: GrammarSource
        var ends: [String]

        var source: GrammarSource {
            .sequence([.marker(begin), content, .either(ends.map { .marker($0) })])
        }
    }

    private static func bad(_ why: String) -> GrammarError {
        GrammarError(.malformed, why)
    }

    private static func texts(_ json: JSON, _ name: String) throws(GrammarError) -> [String] {
        let texts = json[name]?.arrayValue?.compactMap(\.stringValue) ?? []
        guard !texts.isEmpty, texts.count == json[name]?.arrayValue?.count,
            texts.allSatisfy({ !$0.isEmpty })
        else { throw bad("\(name) is a list of texts") }
        return texts
    }

    private static func list(
        _ json: JSON, _ name: String, _ depth: Int
    ) throws(GrammarError) -> [GrammarSource] {
        guard let list = json[name]?.arrayValue, !list.isEmpty else {
            throw bad("\(name) is a list of formats")
        }
        return try list.mapTyped { (part) throws(GrammarError) in
            try source(part, depth: depth + 1)
        }
    }

    private static func tags(_ json: JSON, _ depth: Int) throws(GrammarError) -> [Tag] {
        guard let list = json["tags"]?.arrayValue, !list.isEmpty else {
            throw bad("tags is a list of tags")
        }
        return try list.mapTyped { (part) throws(GrammarError) in try tag(part, depth + 1) }
    }

    private static func tag(_ json: JSON, _ depth: Int) throws(GrammarError) -> Tag {
        guard let begin = json["begin"]?.stringValue, let content = json["content"] else {
            throw bad("a tag has begin, content and end")
        }
        var ends: [String] = []
        if let end = json["end"]?.stringValue {
            ends = [end]
        } else {
            ends = try texts(json, "end")
        }
        // Free text goes on until the tag ends.
        if content["type"] == "any_text" {
            let more = content["excludes"] == nil ? [] : try texts(content, "excludes")
            return Tag(begin: begin, content: .free(without: ends + more), ends: ends)
        }
        return Tag(begin: begin, content: try source(content, depth: depth), ends: ends)
    }

    private static func triggered(
        _ triggers: [String], _ tags: [Tag], isNeeded: Bool, isLast: Bool
    ) throws(GrammarError) -> GrammarSource {
        guard
            let stray = tags.first(where: { tag in !triggers.contains { tag.begin.hasPrefix($0) } })
        else {
            let free = GrammarSource.free(without: triggers)
            let one = GrammarSource.sequence([free, .either(tags.map(\.source))])
            let some = GrammarSource.repeated(
                one, between: .literal(""), least: isNeeded ? 1 : 0, most: isLast ? 1 : nil)
            return isLast && isNeeded ? some : .sequence([some, free])
        }
        throw bad("no trigger begins \(stray.begin.prefix(100))")
    }

    private static func source(_ json: JSON, depth: Int) throws(GrammarError) -> GrammarSource {
        guard depth < 32 else { throw GrammarError(.tooComplex, "the tag is nested too deeply") }
        func text(_ name: String) throws(GrammarError) -> String {
            guard let text = json[name]?.stringValue else { throw bad("\(name) is a text") }
            return text
        }
        switch json["type"]?.stringValue ?? "" {
        case "const_string": return .marker(try text("value"))
        case "json_schema":
            guard let schema = json["json_schema"] else { throw bad("json_schema is missing") }
            guard json["style"] == nil || json["style"] == "json" else {
                throw GrammarError(.unsupported, "json_schema: only the style json is supported")
            }
            return .schema(schema)
        case "regex": return .pattern(try text("pattern"))
        case "grammar": return .notation(try text("grammar"))
        case "any_text":
            return .free(without: json["excludes"] == nil ? [] : try texts(json, "excludes"))
        case "sequence": return .sequence(try list(json, "elements", depth))
        case "or": return .either(try list(json, "elements", depth))
        case "tag": return try tag(json, depth).source
        case "triggered_tags":
            return try triggered(
                try texts(json, "triggers"), try tags(json, depth),
                isNeeded: json["at_least_one"] == true, isLast: json["stop_after_first"] == true)
        case "tags_with_separator":
            return .repeated(
                .either(try tags(json, depth).map(\.source)),
                between: .literal(try text("separator")),
                least: json["at_least_one"] == true ? 1 : 0,
                most: json["stop_after_first"] == true ? 1 : nil)
        case let type:
            throw GrammarError(
                .unsupported,
                "the format \"\(type.prefix(100))\" is not supported in a structural tag")
        }
    }
}
