internal import AdapterSources
internal import AdapterStore
internal import Adapters
internal import Catalog
internal import Foundation
internal import Generation
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import Logging
internal import OpenAIWire

/// `GET /v1/models`, and vLLM's routes to load and unload adapters.
struct ModelRoutes {
    let registry: ModelRegistry
    let contextLength: Int
    let texts: TextQueue

    func add(to group: RouterGroup<APIContext>) {
        group.get("models") { _, context -> Response in
            let scope = context.scope
            let adapters = registry.library.entries.filter { scope.shows($0) }
                .map { adapter($0, context) }
            return Response(json: ["object": "list", "data": .array(bases(scope) + adapters)])
        }
        group.get("models/**") { _, context -> Response in
            let name = context.catchAll
            let scope = context.scope
            if let base = bases(scope).first(where: { $0["id"]?.stringValue == name }) {
                return Response(json: base)
            }
            guard let entry = registry.library.entry(name), scope.shows(entry) else {
                throw registry.unknown(name, in: scope)
            }
            return Response(json: adapter(entry, context))
        }
    }

    func addAdministration(_ adapters: AdapterRoutes, to group: RouterGroup<APIContext>) {
        group.post("load_lora_adapter") { request, context -> Response in
            let change = try AdapterChange(loading: try await texts.json(of: request, context))
            try adapters.check(change.name, source: change.path, context)
            let entry = try await APIError.naming(change.path) {
                try await registry.library.put(
                    name: change.name, source: try AdapterSource(change.path),
                    replaces: change.replaces)
            }
            adapters.audit("adapter_put", entry, context)
            return Response.text("Success: LoRA adapter '\(entry.name)' added successfully.")
        }
        group.post("unload_lora_adapter") { request, context -> Response in
            let name = try AdapterChange.nameToUnload(try await texts.json(of: request, context))
            try adapters.check(name, context)
            try await registry.library.remove(name: name)
            adapters.audit("adapter_removed", name, context)
            return Response.text("Success: LoRA adapter '\(name)' removed successfully.")
        }
    }

    private func bases(_ scope: ModelScope) -> [JSON] {
        registry.baseNames.filter { scope.allows($0) }.map { name in
            model(
                name, created: registry.created,
                extra: [
                    ("parent", .null), ("root", .string(registry.baseNames[0])),
                    ("tier", "device"),
                ])
        }
    }

    /// Tenants are not told where adapters come from.
    private func adapter(_ entry: AdapterEntry, _ context: APIContext) -> JSON {
        let root = context.isOperator ? entry.alias.source : entry.name
        return model(
            entry.name, created: Int(entry.alias.created),
            extra: [
                (
                    "parent",
                    context.scope.allows(registry.baseNames[0])
                        ? .string(registry.baseNames[0]) : .null
                ), ("root", .string(root)),
                ("digest", entry.alias.digest.map { .string($0) } ?? .null),
                ("tier", .string(entry.tier.rawValue)),
                ("rank", entry.record.map { .integer($0.rank) } ?? .null),
                ("bytes", entry.record.map { .integer($0.bytes) } ?? .null),
                // Its own template's names, tokens, ends and defaults; null where they are the base's, or not known yet.
                (
                    "text",
                    entry.record?.text.flatMap { try? JSON(parsing: Array($0.utf8)) } ?? .null
                ),
                // Why it cannot be served.
                ("fault", entry.alias.fault.map { .string($0) } ?? .null),
            ])
    }

    private func model(_ name: String, created: Int, extra: [(String, JSON)]) -> JSON {
        var json = JSON.Object([
            ("id", .string(name)), ("object", "model"), ("created", .integer(created)),
            ("owned_by", "martlet"), ("max_model_len", .integer(contextLength)),
        ])
        for (name, value) in extra { json[name] = value }
        return .object(json)
    }
}

extension APIContext {
    /// What a route's `**` stands for.
    var catchAll: String {
        parameters.getCatchAll().joined(separator: "/").removingPercentEncoding ?? ""
    }
}

extension Response {
    static func text(_ text: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: "text/plain; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
