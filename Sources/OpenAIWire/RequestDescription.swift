public import JSONTree

/// What request bodies may have, for `GET /openapi.json`: JSON Schemas of the parameters that the readers in this module read.
/// Tests hold the two together.
public enum RequestDescription {
    public typealias Parameter = (name: String, schema: JSON)

    /// An object with these members and no others.
    public static func schema(_ parameters: [Parameter], required: [String]) -> JSON {
        [
            "type": "object",
            "properties": .object(JSON.Object(parameters.map { ($0.name, $0.schema) })),
            "required": .array(required.map { .string($0) }), "additionalProperties": false,
        ]
    }

    public static let chat: [Parameter] =
        [
            ("model", text("The base model or an adapter.")),
            (
                "messages",
                [
                    "type": "array", "minItems": 1,
                    "maxItems": .integer(SamplingOptions.Limits.messages),
                    "items": ["type": "object"],
                ]
            ),
            ("tools", list("object", "Shown to the model through its template.")),
            (
                "tool_choice",
                [
                    "description":
                        "none, auto, required, a function by its name, or allowed_tools.",
                    "type": ["string", "object"],
                ]
            ),
            ("parallel_tool_calls", flag(true)), ("include_reasoning", flag(true)),
            ("reasoning_format", ["enum": ["auto", "deepseek", "none"]]),
            ("add_generation_prompt", flag(true)),
            (
                "chat_template_kwargs",
                ["type": "object", "description": "Further variables for the template."]
            ),
            ("max_tokens", integer(1, "What the context leaves, unless it is said.")),
            ("max_completion_tokens", integer(1, "The same.")),
            ("logprobs", flag(false)),
            ("top_logprobs", integer(0, max: SamplingOptions.Limits.logprobs)),
            (
                "reasoning_effort",
                [
                    "enum": .array(ChatRequest.efforts.map { .string($0) }),
                    "description": "Reaches the template.",
                ]
            ),
            ("echo", only(false)), ("modalities", only(["text"])), ("verbosity", only("medium")),
            (
                "prediction",
                [
                    "type": "object",
                    "description":
                        "type and content: what the answer may be like, which then comes faster.",
                ]
            ),
            ("functions", only(.null)), ("function_call", only(.null)),
        ] + mix + turn + sampling

    public static let messages: [Parameter] =
        mix + turn + [
            ("model", text("The base model or an adapter.")),
            ("messages", list("object", "Turns of user and assistant.")),
            ("max_tokens", integer(1, "Of the answer.")),
            ("system", ["type": ["string", "array"]]),
            ("temperature", number(0, 2)), ("top_p", number(0, 1)),
            ("top_k", integer(-1, "The model's.")), ("stream", flag(false)),
            ("stop_sequences", list("string", "Texts that end the answer.")),
            ("tools", list("object", "With name, description and input_schema.")),
            ("tool_choice", ["type": "object", "description": "auto, any, tool or none."]),
            ("thinking", ["type": "object", "description": "enabled, adaptive or disabled."]),
            ("output_config", ["type": "object", "description": "format: a JSON Schema."]),
            ("metadata", unused), ("service_tier", unused), ("cache_control", unused),
            ("inference_geo", unused), ("container", only(.null)), ("mcp_servers", only(.null)),
            ("context_management", only(.null)),
        ]

    public static let responses: [Parameter] =
        mix + turn + [
            ("model", text("The base model or an adapter.")),
            ("input", ["description": "A text, or items.", "type": ["string", "array"]]),
            ("instructions", text("What the system says.")),
            ("max_output_tokens", integer(1, "What the context leaves, unless it is said.")),
            ("temperature", number(0, 2)), ("top_p", number(0, 1)),
            ("stream", flag(false)), ("stream_options", ["type": "object"]),
            ("tools", list("object", "Functions.")),
            (
                "tool_choice",
                [
                    "description":
                        "none, auto, required, a function by its name, or allowed_tools.",
                    "type": ["string", "object"],
                ]
            ), ("parallel_tool_calls", flag(true)),
            (
                "text",
                ["type": "object", "description": "format: text, json_object or json_schema."]
            ),
            ("reasoning", ["type": "object", "description": "effort: reaches the template."]),
            ("store", only(false)), ("background", only(false)), ("truncation", only("disabled")),
            ("previous_response_id", only(.null)), ("conversation", only(.null)),
            ("prompt", only(.null)), ("top_logprobs", only(0)),
            ("service_tier", only("auto", "default")), ("include", list("string", "Nothing here.")),
            ("metadata", unused), ("user", unused), ("safety_identifier", unused),
            ("prompt_cache_key", unused), ("prompt_cache_retention", unused),
            ("max_tool_calls", unused), ("client_metadata", unused),
        ]

    public static let takeoff: [Parameter] = [
        ("text", ["type": ["string", "array"]]), ("lora_id", text("An adapter.")),
        ("sampling_temperature", number(0, 2)), ("sampling_topp", number(0, 1)),
        ("sampling_topk", integer(-1, "1, the likeliest token, unless it is said.")),
        ("repetition_penalty", number(0.01, 100)), ("no_repeat_ngram_size", only(0)),
        ("max_new_tokens", integer(1, "128 unless it is said.")), ("min_new_tokens", integer(0)),
        ("use_chat_template", flag(false)),
        ("prompt_max_tokens", integer(1, "Longer prompts lose their beginning.")),
        ("json_schema", ["description": "A JSON Schema, or its text."]),
        ("regex_string", text("A pattern, which wins over a schema.")),
        ("consumer_group", only("primary", "")), ("return_metadata", only(false)),
        ("constrained_decoding_backend", unused),
    ]

    public static let parse: [Parameter] = [
        ("model", text("The base model or an adapter.")), ("text", text("Of an answer.")),
        ("tools", list("object", "Functions that it may call.")),
        ("prompt", text("What the text follows; thoughts may begin in it.")),
    ]

    public static let completion: [Parameter] =
        [
            ("model", text("The base model or an adapter.")),
            (
                "prompt",
                [
                    "description": "A text, a list of texts, token ids, or lists of them.",
                    "type": ["string", "array"],
                ]
            ),
            ("max_tokens", integer(0, "16, unless it is said; 0 scores the prompt.")),
            ("echo", flag(false)), ("logprobs", integer(0, max: SamplingOptions.Limits.logprobs)),
            ("add_special_tokens", flag(true)), ("suffix", only("")),
        ] + mix + turn + sampling

    private static let turn: [Parameter] = [
        (
            "priority",
            integer(
                KeyTerms.priorities.lowerBound, max: KeyTerms.priorities.upperBound,
                "Lower is more urgent, within what the key may.")
        ),
        ("cache_salt", text("Who shares cached prompts with whom.")),
    ]

    private static let mix: [Parameter] = [
        ("adapters", mix(of: "name", "A sum of adapters' scaled changes; model is the base.")),
        ("lora", mix(of: "id", "The same, as llama.cpp has it; ids are names.")),
    ]

    private static func mix(of name: String, _ description: String) -> JSON {
        let scale = ScaledAdapter.scaleLimit
        return [
            "type": "array", "maxItems": .integer(ScaledAdapter.limit),
            "description": .string(description),
            "items": schema(
                [(name, text("An adapter.")), ("scale", number(-scale, scale))], required: [name]),
        ]
    }

    private static let anySchema: JSON = [
        "type": ["object", "boolean", "string"], "description": "A JSON Schema, or its text.",
    ]

    /// What both take.
    private static let sampling: [Parameter] = [
        (
            "response_format",
            [
                "type": "object", "description": "What the answer must be.",
                "properties": [
                    "type": ["enum": ["text", "json_object", "json_schema"]],
                    "json_schema": [
                        "type": "object",
                        "properties": [
                            "name": ["type": "string"], "strict": ["type": "boolean"],
                            "description": ["type": "string"], "schema": anySchema,
                        ],
                    ],
                    "schema": anySchema,
                ],
            ]
        ),
        (
            "structured_outputs",
            [
                "type": "object", "description": "The same: exactly one of the first four.",
                "properties": [
                    "json": anySchema, "regex": ["type": "string"], "choice": list("string", ""),
                    "json_object": ["type": "boolean"], "grammar": ["type": "string"],
                    "structural_tag": ["type": ["string", "object"]],
                    "whitespace_pattern": only(.null),
                    "disable_any_whitespace": only(false),
                    "disable_additional_properties": only(false),
                    "disable_fallback": only(false),
                ],
            ]
        ),
        ("guided_json", ["type": ["object", "string"], "description": "The same, a schema."]),
        ("json_schema", ["type": ["object", "string"], "description": "The same, a schema."]),
        ("guided_regex", text("The same, a regular expression.")),
        ("regex", text("The same, a regular expression.")),
        ("guided_choice", list("string", "The same, one of some texts.")),
        ("grammar", text("A grammar in GBNF.")), ("guided_grammar", text("The same.")),
        ("ebnf", text("The same.")),
        (
            "structural_tag",
            [
                "description": "vLLM's structural tags, or their text.",
                "type": ["string", "object"],
            ]
        ), ("guided_decoding_backend", only(.null)),
        ("guided_whitespace_pattern", only(.null)),
        ("temperature", number(0, 2)), ("top_p", number(0, 1)),
        ("top_k", integer(-1)), ("min_p", number(0, 1)),
        ("repetition_penalty", number(0.01, 100)), ("presence_penalty", number(-2, 2)),
        ("frequency_penalty", number(-2, 2)),
        (
            "logit_bias",
            ["type": "object", "additionalProperties": ["type": "number"]]
        ),
        ("seed", ["type": "integer"]), ("n", integer(1, max: SamplingOptions.Limits.count)),
        ("stop", ["type": ["string", "array"], "items": ["type": "string"]]),
        ("stop_token_ids", list("integer", "")),
        ("include_stop_str_in_output", flag(false)), ("min_tokens", integer(0)),
        ("ignore_eos", flag(false)), ("skip_special_tokens", flag(true)),
        ("prompt_logprobs", integer(0, max: SamplingOptions.Limits.logprobs)),
        ("return_tokens_as_token_ids", flag(false)), ("stream", flag(false)),
        (
            "stream_options",
            schema(
                [
                    ("include_usage", flag(false)), ("continuous_usage_stats", flag(false)),
                    ("include_obfuscation", only(false)),
                ], required: [])
        ),
        ("user", unused), ("metadata", unused), ("safety_identifier", unused),
        ("prompt_cache_key", unused), ("prompt_cache_retention", unused),
        ("prompt_cache_options", unused), ("store", only(false)),
        ("use_beam_search", only(false)), ("length_penalty", only(1)),
        ("spaces_between_special_tokens", only(true)), ("truncate_prompt_tokens", only(.null)),
        ("allowed_token_ids", only(.null)), ("service_tier", only("auto", "default")),
        (
            "best_of",
            ["type": "integer", "description": "Only what n says."]
        ),
    ]

    public static let tokenize: [Parameter] = [
        ("model", text("The base, unless it is said.")), ("prompt", text("Or messages.")),
        ("messages", list("object", "Or a prompt.")), ("tools", list("object", "")),
        ("add_generation_prompt", flag(true)), ("chat_template_kwargs", ["type": "object"]),
        ("add_special_tokens", ["type": "boolean"]), ("return_token_strs", flag(false)),
        ("continue_final_message", only(false)),
    ]

    private static let texts: Parameter = (
        "input",
        [
            "type": ["string", "array"],
            "description": "A text, texts, token ids, or lists of token ids.",
        ]
    )

    public static let embeddings: [Parameter] = [
        ("model", text("The base or an adapter.")),
        texts,
        ("encoding_format", ["enum": ["float", "base64"]]),
        ("dimensions", integer(1, "Numbers of a vector: its first ones.")),
        ("pooling", ["enum": .array(EmbeddingRequest.poolings.map { .string($0) })]),
        ("add_special_tokens", flag(true)), ("user", unused),
    ]

    public static let classify: [Parameter] = [
        ("model", text("An adapter with a head that scores texts.")),
        texts,
        (
            "activation",
            [
                "enum": .array(
                    ClassificationRequest.Activation.allCases.map { .string($0.rawValue) }),
                "description":
                    "Softmax over several classes and sigmoid of one, unless it is said.",
            ]
        ),
        ("use_activation", flag(true)), ("add_special_tokens", flag(true)), ("user", unused),
    ]

    public static let detokenize: [Parameter] = [
        ("model", text("The base, unless it is said.")), ("tokens", list("integer", "")),
    ]

    public static let load: [Parameter] = [
        ("lora_name", text("The adapter's name.")), ("lora_path", text("Its source.")),
        ("load_inplace", flag(false)), ("base_model_name", unused),
    ]

    public static let unload: [Parameter] = [
        ("lora_name", text("The adapter's name.")), ("lora_int_id", unused),
    ]

    public static let put: [Parameter] = [
        ("source", text("What to read.")), ("digest", text("Or an adapter that is kept here.")),
        ("replaces", flag(true)),
        ("if_digest", text("What the name must stand for now.")),
    ]

    /// What a key may; for a new one `name` too.
    public static let key: [Parameter] = [
        ("name", text("What the key is called.")),
        ("role", ["enum": .array(KeyTerms.Role.allCases.map { .string($0.rawValue) })]),
        ("namespace", text("What the names of a manager's adapters begin with.")),
        ("models", list("string", "Names of models, with * for any text.")),
        ("rpm_limit", integer(1, "Requests a minute.")),
        ("tpm_limit", integer(1, "Tokens a minute.")),
        ("max_parallel_requests", integer(1)),
        ("token_budget", integer(1, "Tokens within budget_duration.")),
        ("budget_duration", text("Whole hours, such as 24h or 30d.")),
        ("weight", number(0.001, 1000)),
        (
            "priority",
            integer(KeyTerms.priorities.lowerBound, max: KeyTerms.priorities.upperBound)
        ),
        ("expires", integer(0, "Seconds since 1970.")),
        ("duration", text("Or from now, such as 90d.")), ("blocked", flag(false)),
        ("metadata", ["type": "object"]),
    ]

    public static let rotation: [Parameter] = [
        ("grace", text("How long the old key counts too, such as 24h."))
    ]

    // MARK: Schemas

    private static let unused: JSON = ["description": "Changes nothing here."]

    private static func text(_ description: String) -> JSON {
        ["type": "string", "description": .string(description)]
    }

    private static func flag(_ value: Bool) -> JSON {
        ["type": "boolean", "default": .bool(value)]
    }

    private static func integer(
        _ least: Int, max: Int? = nil, _ description: String? = nil
    ) -> JSON {
        var schema = JSON.Object([("type", "integer"), ("minimum", .integer(least))])
        if let max { schema["maximum"] = .integer(max) }
        if let description { schema["description"] = .string(description) }
        return .object(schema)
    }

    private static func number(_ least: Double, _ most: Double) -> JSON {
        ["type": "number", "minimum": .number(least), "maximum": .number(most)]
    }

    private static func list(_ type: String, _ description: String) -> JSON {
        var schema = JSON.Object([
            ("type", "array"), ("items", ["type": .string(type)]),
        ])
        if !description.isEmpty { schema["description"] = .string(description) }
        return .object(schema)
    }

    /// What is understood only when it says what happens anyway.
    private static func only(_ values: JSON...) -> JSON {
        ["enum": .array(values), "description": "Other values are refused."]
    }
}
