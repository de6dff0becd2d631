internal import JSONTree

/// Whether two tokenizers are one but for what says the same in another way.
enum TokenizerParts {
    /// The first part of a `tokenizer.json` that a base's tokenizer has in another way; nil when there is none.
    ///
    /// - Parameter added: the tokens that it adds.
    static func difference(
        _ own: JSON, from base: Checkpoint.TokenizerSource, added: [AddedToken]
    ) -> String? {
        let ids = Dictionary(added.map { ($0.content, $0.id) }) { first, _ in first }
        switch base {
        case .absent: return nil
        case .huggingFace(let tokenizer, _):
            for (part, list) in parts where own[part] != tokenizer[part] {
                let (a, b) = (meaning(own[part], list), meaning(tokenizer[part], list))
                if a != b { return part }
            }
            let (model, known) = (own["model"] ?? .null, tokenizer["model"] ?? .null)
            guard model != known else { return nil }
            for (name, value) in members(model, known) where value.own != value.base {
                return "model's \(name)"
            }
            let all = Dictionary(
                (tokenizer["added_tokens"]?.arrayValue ?? []).compactMap { AddedToken($0) }
                    .map { ($0.content, $0.id) }
            ) { first, _ in first }
            guard has(all: model["vocab"], in: known["vocab"], or: all),
                has(all: known["vocab"], in: model["vocab"], or: ids)
            else { return "vocabulary" }
            return merges(model["merges"]) == merges(known["merges"]) ? nil : "list of merges"
        case .gguf(let metadata):
            let texts = metadata["tokenizer.ggml.tokens"]?.array ?? []
            for (text, id) in own["model"]?["vocab"]?.objectValue?.members ?? [] {
                guard let id = id.integerValue, texts.indices.contains(id),
                    texts[id].string == text
                else { return "vocabulary" }
            }
            guard let known = metadata["tokenizer.ggml.merges"]?.array else { return nil }
            let own = merges(own["model"]?["merges"])
            return own == known.map { pair($0.string ?? "") } ? nil : "list of merges"
        }
    }

    /// The parts besides the model, and what lists of them are called.
    private static let parts = [
        ("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"),
        ("post_processor", "processors"), ("decoder", "decoders"),
    ]

    /// What a part says, without what changes no token and no text.
    private static func meaning(_ part: JSON?, _ list: String) -> JSON {
        .array(steps(part ?? .null, list))
    }

    private static func steps(_ part: JSON, _ list: String) -> [JSON] {
        guard let members = part.objectValue?.members else { return [] }
        let type = part["type"]?.stringValue
        if type == "Sequence" {
            return (part[list]?.arrayValue ?? []).flatMap { steps($0, list) }
        }
        if type == "ByteLevel", list == "processors" { return [] }
        if type == "ByteLevel", list == "decoders" { return [["type": "ByteLevel"]] }
        // Offsets and pairs of texts are not for models that write.
        let without: Set = ["trim_offsets", "pair"]
        var kept = JSON.Object()
        for (name, value) in members.sorted(by: { $0.name < $1.name })
        where !without.contains(name) && !isUnset(value) {
            if name == "use_regex", value == .bool(true) { continue }
            kept[name] = name == "special_tokens" ? sorted(value) : value
        }
        return [.object(kept)]
    }

    private static func sorted(_ json: JSON) -> JSON {
        guard let members = json.objectValue?.members else { return json }
        return .object(
            JSON.Object(members.sorted { $0.name < $1.name }.map { ($0.name, $0.value) }))
    }

    private static func isUnset(_ value: JSON) -> Bool {
        value.isNull || value == .bool(false) || value == ""
    }

    /// Settings of both models, unset where one lacks them.
    private static func members(
        _ own: JSON, _ base: JSON
    ) -> [(String, (own: JSON, base: JSON))] {
        let names = [own, base].flatMap { $0.objectValue?.names ?? [] }
        return Set(names).subtracting(["vocab", "merges"]).sorted().map { name in
            func value(_ model: JSON) -> JSON {
                let value = model[name] ?? (name == "type" ? "BPE" : .null)
                return isUnset(value) ? .null : value
            }
            return (name, (value(own), value(base)))
        }
    }

    private static func has(all: JSON?, in other: JSON?, or more: [String: Int]) -> Bool {
        (all?.objectValue?.members ?? []).allSatisfy { text, id in
            let found = other?[text] ?? more[text].map { .integer($0) }
            return found == id
        }
    }

    /// Pairs, which files write as one text or as two.
    private static func merges(_ json: JSON?) -> [[String]] {
        (json?.arrayValue ?? []).map { merge in
            merge.stringValue.map(pair) ?? (merge.arrayValue ?? []).map { $0.stringValue ?? "" }
        }
    }

    private static func pair(_ text: String) -> [String] {
        text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    }
}
