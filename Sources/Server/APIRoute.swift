internal import HTTPTypes
internal import JSONTree
internal import OpenAIWire

/// The server's routes, as they are described to clients and as other methods are refused.
struct APIRoute {
    enum Access: String {
        /// Nobody is asked for a key.
        case open
        case key
        case admin
    }

    let method: HTTPRequest.Method
    /// A rest of the path that may have slashes is in braces.
    let path: String
    let access: Access
    let summary: String
    /// The body's schema.
    var body: JSON?
    /// What answers are besides JSON.
    var otherType: String?

    init(
        _ method: HTTPRequest.Method, _ path: String, _ access: Access, _ summary: String,
        body: JSON? = nil, otherType: String? = nil
    ) {
        self.method = method
        self.path = path
        self.access = access
        self.summary = summary
        self.body = body
        self.otherType = otherType
    }

    fileprivate static let events = "text/event-stream"

    static let all: [APIRoute] = [
        APIRoute(
            .post, "/v1/chat/completions", .key, "Answers a conversation.",
            body: RequestDescription.schema(
                RequestDescription.chat, required: ["model", "messages"]), otherType: events),
        APIRoute(
            .post, "/v1/chat/completions/render", .key, "The prompt of a chat request.",
            body: RequestDescription.schema(
                RequestDescription.chat, required: ["model", "messages"])),
        APIRoute(
            .post, "/v1/chat/completions/parse", .key, "An answer's text as a message.",
            body: RequestDescription.schema(RequestDescription.parse, required: ["model", "text"])),
        APIRoute(
            .post, "/v1/completions", .key, "Completes texts.",
            body: RequestDescription.schema(
                RequestDescription.completion, required: ["model", "prompt"]), otherType: events),
        APIRoute(
            .post, "/v1/messages", .key, "Answers a conversation, as Anthropic has it.",
            body: RequestDescription.schema(
                RequestDescription.messages, required: ["model", "max_tokens", "messages"]),
            otherType: events),
        APIRoute(
            .post, "/v1/messages/count_tokens", .key, "Counts a conversation's tokens.",
            body: RequestDescription.schema(
                RequestDescription.messages, required: ["model", "messages"])),
        APIRoute(
            .post, "/v1/responses", .key, "Answers a conversation that the server does not keep.",
            body: RequestDescription.schema(
                RequestDescription.responses, required: ["model", "input"]), otherType: events),
        APIRoute(
            .post, "/v1/embeddings", .key, "Texts as vectors.",
            body: RequestDescription.schema(
                RequestDescription.embeddings, required: ["model", "input"])),
        APIRoute(
            .post, "/v1/classify", .key, "Texts scored by a classifier's head.",
            body: RequestDescription.schema(
                RequestDescription.classify, required: ["model", "input"])),
        APIRoute(
            .post, "/tokenize", .key, "Text, or a conversation, to tokens.",
            body: RequestDescription.schema(RequestDescription.tokenize, required: [])),
        APIRoute(
            .post, "/detokenize", .key, "Tokens to text.",
            body: RequestDescription.schema(RequestDescription.detokenize, required: ["tokens"])),
        APIRoute(
            .post, "/generate", .key, "Completes texts, as Takeoff has it.",
            body: RequestDescription.schema(RequestDescription.takeoff, required: ["text"])),
        APIRoute(
            .post, "/generate_stream", .key, "The same as a stream.",
            body: RequestDescription.schema(RequestDescription.takeoff, required: ["text"]),
            otherType: events),
        APIRoute(
            .post, "/tokenize/{reader}", .key, "Text to tokens, as Takeoff has it.",
            body: RequestDescription.schema(
                [
                    ("text", ["type": "string"]), ("use_chat_template", ["type": "boolean"]),
                    ("skip_special_tokens", ["type": "boolean"]),
                ], required: ["text"])),
        APIRoute(
            .post, "/detokenize/{reader}", .key, "Tokens to text, as Takeoff has it.",
            body: RequestDescription.schema(
                [
                    ("tokens", ["type": "array"]), ("skip_special_tokens", ["type": "boolean"]),
                ], required: ["tokens"])),
        APIRoute(
            .post, "/chat_template/{reader}", .key, "Prompts of conversations, as Takeoff has it.",
            body: RequestDescription.schema(
                [
                    ("inputs", ["type": "array"]), ("add_generation_prompt", ["type": "boolean"]),
                ], required: ["inputs"])),
        APIRoute(.get, "/reader_groups", .key, "Takeoff's readers: the base, and its adapters."),
        APIRoute(.get, "/status", .key, "The same by name."),
        APIRoute(
            .post, "/reader", .key, "Takeoff's way to load a model, which this server does not do."),
        APIRoute(.delete, "/reader/{reader}", .key, "And to unload one."),
        APIRoute(.get, "/config/{reader}", .key, "The model's sizes."),
        APIRoute(.get, "/v1/models", .key, "The base and all adapters."),
        APIRoute(.get, "/v1/models/{name}", .key, "One of them."),
        APIRoute(
            .post, "/v1/load_lora_adapter", .admin, "Gives an adapter a name.",
            body: RequestDescription.schema(
                RequestDescription.load, required: ["lora_name", "lora_path"]),
            otherType: "text/plain"),
        APIRoute(
            .post, "/v1/unload_lora_adapter", .admin, "Takes a name away.",
            body: RequestDescription.schema(RequestDescription.unload, required: ["lora_name"]),
            otherType: "text/plain"),
        APIRoute(.get, "/admin/adapters", .admin, "All entries, and the tiers."),
        APIRoute(.get, "/admin/adapters/{name}", .admin, "An entry."),
        APIRoute(
            .put, "/admin/adapters/{name}", .admin, "Says what a name stands for.",
            body: RequestDescription.schema(RequestDescription.put, required: [])),
        APIRoute(.delete, "/admin/adapters/{name}", .admin, "Takes a name away."),
        APIRoute(
            .post, "/admin/adapters/{name}", .admin,
            "NAME/pin, /unpin, /warm, /demote or /verify: what is to be done with an adapter."),
        APIRoute(.get, "/admin/keys", .admin, "All keys, without what they are."),
        APIRoute(
            .post, "/admin/keys", .admin, "Makes a key.",
            body: RequestDescription.schema(RequestDescription.key, required: ["name"])),
        APIRoute(.get, "/admin/keys/{name}", .admin, "A key."),
        APIRoute(
            .patch, "/admin/keys/{name}", .admin, "Changes what a key may.",
            body: RequestDescription.schema(
                RequestDescription.key.filter { $0.name != "name" }, required: [])),
        APIRoute(
            .post, "/admin/keys/{name}/rotate", .admin, "Puts a new key in its place.",
            body: RequestDescription.schema(RequestDescription.rotation, required: [])),
        APIRoute(.delete, "/admin/keys/{name}", .admin, "Ends a key for good."),
        APIRoute(
            .get, "/admin/usage", .admin,
            "What keys used of models by the hour: since, until, key, group_by in the query."),
        APIRoute(.get, "/admin/tiers", .admin, "How full RAM and disk are."),
        APIRoute(
            .get, "/admin/events", .admin, "What happens to adapters, as it happens.",
            otherType: events),
        APIRoute(
            .get, "/admin/state", .admin, "What routers know of this server.", otherType: events),
        APIRoute(
            .get, "/", .open, "A page that shows the server in a browser.", otherType: "text/html"),
        APIRoute(
            .get, "/page/{name}", .open, "What the page is made of.", otherType: "text/javascript"),
        APIRoute(.get, "/health", .open, "Whether the process answers."),
        APIRoute(.get, "/ready", .open, "Whether it takes requests."),
        APIRoute(.get, "/healthz", .open, "The same."),
        APIRoute(.get, "/version", .open, "What runs."),
        APIRoute(
            .get, "/metrics", .open, "Prometheus metrics.", otherType: "text/plain"),
        APIRoute(.get, "/openapi.json", .open, "This description."),
    ]

    /// Paths without names in them, with the methods that they take.
    static var fixed: [(path: String, methods: [HTTPRequest.Method])] {
        var paths: [(path: String, methods: [HTTPRequest.Method])] = []
        for route in all where !route.path.contains("{") {
            if let index = paths.firstIndex(where: { $0.path == route.path }) {
                paths[index].methods.append(route.method)
            } else {
                paths.append((route.path, [route.method]))
            }
        }
        return paths
    }
}

/// `GET /openapi.json`.
enum APIDescription {
    static func document(version: String) -> JSON {
        var paths: [(String, [(String, JSON)])] = []
        for route in APIRoute.all {
            let operation = (route.method.rawValue.lowercased(), operation(route))
            if let index = paths.firstIndex(where: { $0.0 == route.path }) {
                paths[index].1.append(operation)
            } else {
                paths.append((route.path, [operation]))
            }
        }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "Martlet", "version": .string(version),
                "description":
                    "OpenAI's API with the common extensions of vLLM. What is not described is refused by name.",
            ],
            "paths": .object(JSON.Object(paths.map { ($0.0, .object(JSON.Object($0.1))) })),
            "components": [
                "securitySchemes": ["key": ["type": "http", "scheme": "bearer"]],
                "schemas": ["Error": error],
            ],
        ]
    }

    private static let error: JSON = [
        "type": "object", "required": ["error"],
        "properties": [
            "error": [
                "type": "object", "required": ["message", "type", "code"],
                "properties": [
                    "message": ["type": "string"], "type": ["type": "string"],
                    "code": ["type": "string"], "param": ["type": ["string", "null"]],
                ],
            ]
        ],
    ]

    private static func operation(_ route: APIRoute) -> JSON {
        var operation = JSON.Object([("summary", .string(route.summary))])
        for name in ["name", "reader"] where route.path.contains("{\(name)}") {
            operation["parameters"] = [
                [
                    "name": .string(name), "in": "path", "required": true,
                    "schema": ["type": "string"],
                ]
            ]
        }
        if let body = route.body {
            operation["requestBody"] = [
                "required": true, "content": ["application/json": ["schema": body]],
            ]
        }
        var content = JSON.Object([("application/json", [:])])
        if let type = route.otherType {
            if type != APIRoute.events { content = JSON.Object() }
            content[type] = [:]
        }
        operation["responses"] = [
            "200": ["description": "OK", "content": .object(content)],
            "default": [
                "description": "An error with a stable code.",
                "content": [
                    "application/json": ["schema": ["$ref": "#/components/schemas/Error"]]
                ],
            ],
        ]
        operation["security"] =
            route.access == .open ? [] : [["key": []]]
        if route.access == .admin {
            operation["description"] = "Needs the admin key, where there are keys."
        }
        return .object(operation)
    }
}
