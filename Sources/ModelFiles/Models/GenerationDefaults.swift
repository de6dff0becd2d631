package import JSONTree

/// Sampling defaults and stop tokens that a model's files ask for.
package struct GenerationDefaults: Sendable, Equatable {
    /// Tokens that end a completion.
    package var endTokens: [Int] = []
    package var temperature: Double?
    package var topK: Int?
    package var topP: Double?
    package var minP: Double?
    package var repetitionPenalty: Double?
    /// Tokens of a completion at most, where a request says nothing.
    package var maximumTokens: Int?

    package init() {}

    /// - Throws: `ModelFileError` with the code `invalid_field`, naming the one that no request could ask
    ///   for either.
    func check(vocabularySize: Int, source: String) throws(ModelFileError) {
        func invalid(_ field: String, _ value: Any, _ wanted: String) -> ModelFileError {
            ModelFileError(
                .invalidField, "\(source): \(field) is \(value); it must be \(wanted)")
        }
        for token in endTokens where !(0..<vocabularySize).contains(token) {
            throw invalid(
                "eos_token_id", token, "a token of the \(vocabularySize) in the vocabulary")
        }
        if let temperature, !(0...2).contains(temperature) {
            throw invalid("temperature", temperature, "between 0 and 2")
        }
        if let topK, !(-1...Int(Int32.max)).contains(topK) {
            throw invalid("top_k", topK, "-1 or 0 for none, or a count of tokens")
        }
        if let topP, !(topP > 0 && topP <= 1) {
            throw invalid("top_p", topP, "above 0 and at most 1")
        }
        if let maximumTokens, maximumTokens < 1 {
            throw invalid("max_new_tokens", maximumTokens, "at least 1")
        }
        if let minP, !(0...1).contains(minP) { throw invalid("min_p", minP, "between 0 and 1") }
        if let repetitionPenalty, !(0.01...100).contains(repetitionPenalty) {
            throw invalid("repetition_penalty", repetitionPenalty, "between 0.01 and 100")
        }
    }
}

extension GenerationDefaults {
    /// `generation_config.json`, whose end tokens win over those of `config.json`.
    package init(generation: JSON?, config: JSON, source: String) throws(ModelFileError) {
        self.init()
        for candidate in [generation?["eos_token_id"], config["eos_token_id"]] {
            guard let candidate, !candidate.isNull else { continue }
            let values = candidate.arrayValue ?? [candidate]
            endTokens = values.compactMap(\.integerValue)
            guard endTokens.count == values.count else {
                throw ModelFileError(.invalidField, "\(source): eos_token_id is not a token id")
            }
            break
        }
        if let generation {
            let fields = Fields(config: generation, source: "\(source)/generation_config.json")
            maximumTokens = try fields.optionalInteger("max_new_tokens")
        }
        // Without do_sample these fields say nothing: transformers decodes greedily then, but servers
        // sample at temperature 1 unless told otherwise.
        guard let generation, generation["do_sample"]?.boolValue == true else { return }
        let fields = Fields(config: generation, source: "\(source)/generation_config.json")
        func number(_ name: String) throws(ModelFileError) -> Double? {
            guard let value = generation[name], !value.isNull else { return nil }
            return try fields.number(name)
        }
        temperature = try number("temperature")
        topK = try fields.optionalInteger("top_k")
        topP = try number("top_p")
        minP = try number("min_p")
        repetitionPenalty = try number("repetition_penalty")
    }

    /// Fields that change nothing here: what a program does around an answer, or how fast.
    private static let harmless: Set<String> = [
        "do_sample", "eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id",
        "temperature", "top_k",
        "top_p", "min_p", "repetition_penalty", "max_new_tokens", "max_length",
        "transformers_version",
        "_from_model_config", "use_cache", "cache_implementation", "cache_config",
        "return_legacy_cache",
        "prefill_chunk_size", "output_attentions", "output_hidden_states", "output_scores",
        "output_logits",
        "return_dict_in_generate", "compile_config", "disable_compile", "low_memory",
        "generation_kwargs",
        "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule",
        "assistant_confidence_threshold",
        "assistant_lookbehind", "target_lookbehind", "assistant_early_exit",
        "prompt_lookup_num_tokens",
        "max_matching_ngram_size", "length_penalty", "early_stopping", "diversity_penalty",
        "trust_remote_code",
    ]

    /// Values that say nothing, of fields that would change an answer.
    private static let neutral: [String: JSON] = [
        "num_beams": 1, "num_beam_groups": 1, "num_return_sequences": 1, "typical_p": 1,
        "epsilon_cutoff": 0,
        "eta_cutoff": 0, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0,
        "encoder_repetition_penalty": 1, "min_length": 0, "min_new_tokens": 0,
        "remove_invalid_values": false,
        "renormalize_logits": false, "token_healing": false, "guidance_scale": 1,
    ]

    /// Refuses what would change an answer and is not done here.
    ///
    /// - Throws: `ModelFileError` with the code `unsupported_field`, naming it.
    static func refuseUnsupported(_ config: JSON, source: String) throws(ModelFileError) {
        guard let members = config.objectValue?.members else {
            throw ModelFileError(.malformedFile, "\(source) is not a JSON object")
        }
        for (name, value) in members where !value.isNull && !harmless.contains(name) {
            if let neutral = neutral[name],
                neutral == value
                    || neutral.doubleValue != nil && neutral.doubleValue == value.doubleValue
            {
                continue
            }
            throw ModelFileError(
                .unsupportedField,
                "\(source): \(name) = \(value.text().prefix(100)) is not supported")
        }
    }

    // MARK: As a value

    /// What an adapter says, for its digest and its pack.
    var json: JSON {
        var json = JSON.Object()
        if !endTokens.isEmpty { json["eos_token_id"] = .array(endTokens.map { .integer($0) }) }
        let numbers = [
            ("temperature", temperature), ("top_p", topP), ("min_p", minP),
            ("repetition_penalty", repetitionPenalty),
        ]
        for (name, value) in numbers { json[name] = value.map { .number($0) } }
        for (name, value) in [("top_k", topK), ("max_new_tokens", maximumTokens)] {
            json[name] = value.map { .integer($0) }
        }
        return .object(json)
    }

    /// Reads `json` back.
    init?(_ json: JSON) {
        self.init()
        let tokens = (json["eos_token_id"] ?? []).arrayValue?.map(\.integerValue) ?? [nil]
        guard !tokens.contains(nil) else { return nil }
        endTokens = tokens.compactMap { $0 }
        temperature = json["temperature"]?.doubleValue
        topP = json["top_p"]?.doubleValue
        minP = json["min_p"]?.doubleValue
        repetitionPenalty = json["repetition_penalty"]?.doubleValue
        topK = json["top_k"]?.integerValue
        maximumTokens = json["max_new_tokens"]?.integerValue
    }
}
