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
internal import NIOCore
internal import OpenAIWire
internal import Tenants
internal import ServiceLifecycle

/// `/admin/adapters`: who is where, and what operators do about it.
struct AdapterRoutes {
    let registry: ModelRegistry
    let texts: TextQueue
    let tenancy: Tenancy

    private var library: AdapterLibrary { registry.library }

    /// Those that managers of a name space may use too, for names within it.
    func addNames(to group: RouterGroup<APIContext>) {
        group.get("adapters") { _, context -> Response in
            let entries = library.entries.filter { mayLook(at: $0.name, context) }
            return Response(
                json: [
                    "adapters": .array(entries.map { json($0, context) }),
                    "tiers": context.isOperator ? tiers : .null,
                ])
        }
        group.get("adapters/**") { _, context -> Response in
            let name = context.catchAll
            try check(name, context)
            return Response(json: json(try entry(name), context))
        }
        group.put("adapters/**") { request, context -> Response in
            let name = context.catchAll
            let put = try AdapterPut(try await texts.json(of: request, context))
            if let expected = put.expectedDigest { try check(expected: expected, context) }
            switch put.content {
            case .source(let text): try check(name, source: text, context)
            case .digest(let text): try check(name, digest: text, context)
            }
            let entry = try await hidingPlaces(name, context) { try await self.put(name, put) }
            audit("adapter_put", entry, context)
            return Response(json: json(entry, context))
        }
        group.delete("adapters/**") { _, context -> Response in
            let name = context.catchAll
            try check(name, context)
            try await library.remove(name: name)
            audit("adapter_removed", name, context)
            return Response(json: ["name": .string(name), "removed": true])
        }
        group.post("adapters/**") { _, context -> Response in
            var parts = context.catchAll.split(separator: "/", omittingEmptySubsequences: false)
            let action = parts.popLast().map(String.init) ?? ""
            let name = parts.joined(separator: "/")
            try check(name, context)
            // RAM is everybody's.
            if context.tenant?.terms.role == .manager, !["warm", "verify"].contains(action) {
                throw APIError(
                    status: 403, type: "permission_error", code: "admin_key_required",
                    message: "A manager's key may warm and verify adapters; this needs an admin's.")
            }
            let response = try await act(action, on: name)
            audit("adapter_" + action, name, context)
            return response
        }
    }

    /// What is for operators alone.
    func add(to group: RouterGroup<APIContext>) {
        group.get("tiers") { _, _ -> Response in Response(json: tiers) }
        group.get("events") { _, context -> Response in await events(context) }
    }

    // MARK: Managers

    private func mayLook(at name: String, _ context: APIContext) -> Bool {
        guard let terms = context.tenant?.terms, terms.role == .manager else { return true }
        return terms.manages(name)
    }

    /// - Throws: `APIError` unless whoever asks may say what the name stands for.
    func check(_ name: String, _ context: APIContext) throws(APIError) {
        guard !mayLook(at: name, context) else { return }
        throw APIError(
            status: 403, type: "permission_error", code: "outside_namespace",
            message:
                "This key manages names that begin with \(context.tenant?.terms.namespace ?? "").",
            parameter: "lora_name")
    }

    /// Managers name what is far away, or what they may ask for already: a path would be one of this machine.
    ///
    /// - Throws: `APIError`.
    func check(_ name: String, source text: String, _ context: APIContext) throws {
        try check(name, context)
        guard context.tenant?.terms.role == .manager else { return }
        switch try AdapterSource(text) {
        case .hub, .s3, .web: break
        case .mix(let recipe):
            for part in recipe.parts { try registry.check(part.name, in: context.scope) }
        case .path:
            throw APIError(
                status: 403, type: "permission_error", code: "source_not_allowed",
                message: "A manager's key may not name paths of this machine.",
                parameter: "lora_path")
        }
    }

    private func check(_ name: String, digest text: String, _ context: APIContext) throws {
        try check(name, context)
        guard context.tenant?.terms.role == .manager else { return }
        let digest = try? library.digest(beginning: text)
        let scope = context.scope
        guard let digest, library.names(of: digest).contains(where: { scope.allows($0) }) else {
            throw LibraryError(.notFound, "There is no adapter \"\(text.prefix(200))\".")
        }
    }

    /// The first digits of a digest would tell a manager which others there are.
    private func check(expected text: String, _ context: APIContext) throws(APIError) {
        guard context.tenant?.terms.role == .manager, AdapterDigest(text) == nil else { return }
        throw .invalid("if_digest", "With a manager's key if_digest must have all 64 digits.")
    }

    /// An entry without what managers are not to know: where adapters lie on this machine.
    private func json(_ entry: AdapterEntry, _ context: APIContext) -> JSON {
        guard !context.isOperator, entry.alias.source.hasPrefix("/"),
            var object = entry.json.objectValue
        else { return entry.json }
        object["source"] = .some(.null)
        return .object(object)
    }

    /// Does something for a manager, who is not told of places either: a sum has parts of others.
    private func hidingPlaces<Value>(
        _ name: String, _ context: APIContext, _ work: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await work()
        } catch let error where !context.isOperator && APIError.namesPlaces(error) {
            context.logger.error("adapter not read", metadata: ["error": .string("\(error)")])
            var answer = APIError(error)
            answer.message = "The adapter \"\(name)\" cannot be read. The server's log says why."
            throw answer
        }
    }

    /// Writes down who changed what.
    func audit(_ event: String, _ name: String, _ context: APIContext) {
        audit(event, name, nil, context)
    }

    func audit(_ event: String, _ entry: AdapterEntry, _ context: APIContext) {
        audit(event, entry.name, entry, context)
    }

    private func audit(
        _ event: String, _ name: String, _ entry: AdapterEntry?, _ context: APIContext
    ) {
        tenancy.audit?.write(
            event,
            [
                ("request", .string(context.requestID)),
                ("by", context.tenant.map { .string($0.name) } ?? .null),
                ("adapter", .string(name)),
                ("source", entry.map { .string($0.alias.source) } ?? .null),
                ("digest", entry?.alias.digest.map { .string($0) } ?? .null),
            ])
    }

    // MARK: What becomes of them

    private func entry(_ name: String) throws(LibraryError) -> AdapterEntry {
        guard let entry = library.entry(name) else {
            throw LibraryError(.notFound, "There is no adapter \"\(name.prefix(200))\".")
        }
        return entry
    }

    private func put(_ name: String, _ put: AdapterPut) async throws -> AdapterEntry {
        let expected = try put.expectedDigest.map { try library.digest(beginning: $0).description }
        switch put.content {
        case .source(let text):
            return try await APIError.naming(text) {
                try await library.put(
                    name: name, source: try AdapterSource(text), replaces: put.replaces,
                    expected: expected)
            }
        case .digest(let text):
            return try await library.point(
                name: name, at: try library.digest(beginning: text), expected: expected)
        }
    }

    private func act(_ action: String, on name: String) async throws -> Response {
        switch action {
        case "pin", "unpin": try await library.pin(name: name, action == "pin")
        case "warm": try await library.warm(name: name)
        case "demote":
            guard try library.demote(name: name) else {
                throw APIError(
                    status: 409, code: "adapter_in_use",
                    message:
                        "\(name) is in use or pinned: wait for its requests to end, or unpin it first."
                )
            }
        case "verify":
            let isWhole = try await library.verify(name: name)
            return Response(json: ["name": .string(name), "whole": .bool(isWhole)])
        default:
            throw APIError(
                status: 404, code: "not_found",
                message: "An adapter can be told to pin, unpin, warm, demote or verify.")
        }
        return Response(json: try entry(name).json)
    }

    private var tiers: JSON {
        let tiers = library.tiers
        return [
            "host": [
                "adapters": .integer(tiers.hostCount), "bytes": .integer(tiers.hostBytes),
                "budget": .integer(tiers.hostBudget),
            ],
            "disk": [
                "adapters": .integer(tiers.diskCount), "bytes": .integer(tiers.diskBytes),
                "budget": .integer(tiers.diskQuota),
            ],
            "waiting": .integer(tiers.waitingCount),
            "thrashing": .number(tiers.thrashing),
        ]
    }

    /// Everything that happens to adapters, as server-sent events, until the client leaves.
    private func events(_ context: APIContext) async -> Response {
        let departure = await context.departure()
        let library = library
        return Response(
            status: .ok,
            headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"],
            body: ResponseBody { bodyWriter in
                // Here, because the answer to HEAD has no body that would stop listening.
                let (events, stop) = library.events.listen()
                let writer = EventWriter(bodyWriter)
                try await writer.write(": listening\n\n")
                try await departure.whileConnected(onDeparture: stop) {
                    try await withGracefulShutdownHandler {
                        for await event in events {
                            let json = event.json(names: library.names(of:))
                            try await writer.write(ServerSentEvent.data(json))
                        }
                    } onGracefulShutdown: {
                        stop()
                    }
                }
                try await writer.finish()
            })
    }
}

extension AdapterEntry {
    fileprivate var json: JSON {
        [
            "name": .string(name), "source": .string(alias.source),
            "revision": .string(alias.revision),
            "digest": alias.digest.map { .string($0) } ?? .null,
            "tier": .string(tier.rawValue), "pinned": .bool(alias.pinned),
            "fault": alias.fault.map { .string($0) } ?? .null,
            "rank": record.map { .integer($0.rank) } ?? .null,
            "modules": record.map { .integer($0.modules) } ?? .null,
            "bytes": record.map { .integer($0.bytes) } ?? .null,
            "leases": .integer(leaseCount), "hits": .integer(record?.hits ?? 0),
            "loads": .integer(record?.loads ?? 0),
            "last_use": .integer(Int(record?.lastUse ?? 0)),
            "created": .integer(Int(alias.created)), "updated": .integer(Int(alias.updated)),
        ]
    }
}

extension LibraryEvent {
    /// With the time, as seconds since 1970, and the names of adapters that it is about.
    fileprivate func json(names: (AdapterDigest) -> [String]) -> JSON {
        var object = content.objectValue ?? JSON.Object()
        if let digest {
            object["names"] = .array(names(digest).map { .string($0) })
        }
        object["time"] = .number((Date().timeIntervalSince1970 * 1000).rounded() / 1000)
        return .object(object)
    }

    /// Of events that are about no name of theirs.
    private var digest: AdapterDigest? {
        switch self {
        case .loaded(let digest), .evicted(let digest, _), .quarantined(let digest, _),
            .notStored(let digest, _):
            digest
        default: nil
        }
    }

    private var content: JSON {
        switch self {
        case .registered(let name): ["event": "registered", "name": .string(name)]
        case .added(let name, let digest):
            ["event": "added", "name": .string(name), "digest": .string(digest)]
        case .pinned(let name, let isPinned):
            ["event": isPinned ? "pinned" : "unpinned", "name": .string(name)]
        case .fetching(let name, let done, let total):
            [
                "event": "fetching", "name": .string(name), "bytes": .integer(done),
                "total": total.map { .integer($0) } ?? .null,
            ]
        case .loaded(let digest): ["event": "loaded", "digest": .string(digest.description)]
        case .evicted(let digest, let tier):
            [
                "event": "evicted", "digest": .string(digest.description),
                "tier": .string(tier.rawValue),
            ]
        case .replaced(let name, let digest):
            ["event": "replaced", "name": .string(name), "digest": .string(digest)]
        case .removed(let name): ["event": "removed", "name": .string(name)]
        case .refused(let name, let reason):
            ["event": "refused", "name": .string(name), "reason": .string(reason)]
        case .quarantined(let digest, let reason):
            [
                "event": "quarantined", "digest": .string(digest.description),
                "reason": .string(reason),
            ]
        case .notStored(let digest, let reason):
            [
                "event": "not_stored", "digest": .string(digest.description),
                "reason": .string(reason),
            ]
        }
    }
}
