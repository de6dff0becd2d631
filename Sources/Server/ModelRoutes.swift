internal import Adapters
internal import Dispatch
internal import Foundation
internal import Generation
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import Logging
internal import OpenAIWire

/// `GET /v1/models`, and vLLM's routes to load and unload adapters.
struct ModelRoutes {
    let generator: TextGenerator
    /// Folders that adapters may be loaded from; empty for any.
    let adapterRoots: [String]
    /// Reading and packing an adapter is work for a thread of its own.
    private let queue = DispatchQueue(label: "martlet.adapters")

    init(generator: TextGenerator, adapterRoots: [String]) {
        self.generator = generator
        self.adapterRoots = adapterRoots.map {
            URL(fileURLWithPath: $0).resolvingSymlinksInPath().path
        }
    }

    func add(to group: RouterGroup<APIContext>) {
        group.get("models") { _, _ -> Response in
            Response(json: ["object": "list", "data": .array(models)])
        }
        group.get("models/**") { _, context -> Response in
            let name =
                context.parameters.getCatchAll().joined(separator: "/").removingPercentEncoding
                ?? ""
            _ = try generator.registry.model(name)
            guard let model = models.first(where: { $0["id"]?.stringValue == name }) else {
                throw HTTPError(.notFound)
            }
            return Response(json: model)
        }
    }

    func addAdministration(to group: RouterGroup<APIContext>) {
        group.post("load_lora_adapter") { request, context -> Response in
            let change = try AdapterChange(loading: try await body(of: request, context))
            let path = try checked(change.path)
            let registry = generator.registry
            let created = Int(Date().timeIntervalSince1970)
            let entry = try await withCheckedThrowingContinuation {
                (done: CheckedContinuation<ModelRegistry.Entry, any Error>) in
                queue.async {
                    done.resume(
                        with: Result {
                            try registry.load(
                                name: change.name, path: path, replaces: change.replaces,
                                created: created)
                        })
                }
            }
            context.logger.info(
                "adapter loaded",
                metadata: [
                    "adapter": .string(entry.name), "digest": "\(entry.adapter.digest.short)",
                ])
            return Response.text("Success: LoRA adapter '\(entry.name)' added successfully.")
        }
        group.post("unload_lora_adapter") { request, context -> Response in
            let name = try AdapterChange.nameToUnload(try await body(of: request, context))
            try generator.registry.unload(name: name)
            context.logger.info("adapter unloaded", metadata: ["adapter": .string(name)])
            return Response.text("Success: LoRA adapter '\(name)' removed successfully.")
        }
    }

    /// The path with links resolved, inside the allowed folders.
    private func checked(_ path: String) throws -> String {
        guard path.hasPrefix("/") || adapterRoots.isEmpty else {
            throw APIError.invalid("lora_path", "lora_path must be an absolute path.")
        }
        let resolved = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        guard
            adapterRoots.isEmpty
                || adapterRoots.contains(where: { resolved == $0 || resolved.hasPrefix($0 + "/") })
        else {
            throw APIError(
                status: 403, type: "permission_error", code: "path_not_allowed",
                message: "lora_path lies outside the folders that --adapter-root allows.",
                parameter: "lora_path")
        }
        return resolved
    }

    private var models: [JSON] {
        let registry = generator.registry
        let base = registry.baseNames.map { name in
            model(name, created: registry.created, extra: [("parent", .null), ("tier", "device")])
        }
        return base
            + registry.adapters.map { entry in
                model(
                    entry.name, created: entry.created,
                    extra: [
                        ("parent", .string(registry.baseNames[0])), ("root", .string(entry.path)),
                        ("digest", .string(entry.adapter.digest.description)), ("tier", "device"),
                        ("rank", .integer(entry.adapter.rank)),
                        ("bytes", .integer(entry.adapter.byteCount)),
                    ])
            }
    }

    private func model(_ name: String, created: Int, extra: [(String, JSON)]) -> JSON {
        var json = JSON.Object([
            ("id", .string(name)), ("object", "model"), ("created", .integer(created)),
            ("owned_by", "martlet"), ("max_model_len", .integer(generator.contextLength)),
        ])
        for (name, value) in extra { json[name] = value }
        return .object(json)
    }
}

extension Response {
    fileprivate static func text(_ text: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: "text/plain; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
