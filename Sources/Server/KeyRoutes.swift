internal import Catalog
internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import OpenAIWire
internal import Tenants

/// `/admin/keys` and `/admin/usage`: who may what, and what they used.
struct KeyRoutes {
    let tenancy: Tenancy
    let texts: TextQueue

    func add(to group: RouterGroup<APIContext>) {
        group.get("keys") { _, _ -> Response in
            Response(json: ["keys": .array((tenancy.keys?.entries ?? []).map(\.json))])
        }
        group.get("keys/:name") { _, context -> Response in
            Response(json: try keys().entry(context.keyName).json)
        }
        group.post("keys") { request, context -> Response in
            let change = try KeyChange(making: try await texts.json(of: request, context))
            let terms = try KeyTerms(change.terms(at: now()))
            let (entry, key) = try keys().create(change.name, terms, at: now())
            audit("key_created", entry, context)
            return Response(json: entry.json(with: key), status: .created)
        }
        group.patch("keys/:name") { request, context -> Response in
            let change = try KeyChange(changing: try await texts.json(of: request, context))
            let entry = try keys().change(context.keyName, by: change.terms(at: now()), at: now())
            audit("key_changed", entry, context)
            return Response(json: entry.json)
        }
        group.post("keys/:name/rotate") { request, context -> Response in
            let grace = try KeyChange.grace(try await texts.json(of: request, context))
            let (entry, key) = try keys().rotate(context.keyName, grace: grace, at: now())
            audit("key_rotated", entry, context)
            return Response(json: entry.json(with: key))
        }
        group.delete("keys/:name") { _, context -> Response in
            let entry = try keys().revoke(context.keyName, at: now())
            audit("key_revoked", entry, context)
            return Response(json: entry.json)
        }
        group.get("usage") { request, _ -> Response in
            Response(
                json: try usage(
                    try UsageQuery(
                        request.uri.queryParameters.map { (String($0.key), String($0.value)) })))
        }
    }

    private func now() -> Double { Date().timeIntervalSince1970 }

    private func keys() throws(APIError) -> KeyRing {
        guard let keys = tenancy.keys else {
            throw APIError(
                status: 404, code: "key_not_found", message: "This server was started without keys."
            )
        }
        return keys
    }

    private func audit(_ event: String, _ entry: KeyRing.Entry, _ context: APIContext) {
        tenancy.audit?.write(
            event,
            [
                ("request", .string(context.requestID)),
                ("by", context.tenant.map { .string($0.name) } ?? .null),
                ("key", .string(entry.record.name)), ("terms", entry.terms?.json ?? .null),
            ])
    }

    private func usage(_ query: UsageQuery) throws -> JSON {
        let records = try tenancy.ledger.usage(query.hours, key: query.key)
        var groups: [[String]: UsageRecord] = [:]
        for record in records {
            let place = query.groups.map { group in
                switch group {
                case .key: record.key
                case .model: record.model
                case .hour: "\(record.hour * 3600)"
                }
            }
            groups[place, default: UsageRecord(key: "", model: "", hour: 0)].add(record)
        }
        let rows = groups.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { place, sum in
            var row = JSON.Object()
            for (group, value) in zip(query.groups, place) {
                row[group.rawValue] =
                    group == .hour ? .integer(Int(value) ?? 0) : .string(value)
            }
            for (name, value) in sum.counts { row[name] = value }
            return JSON.object(row)
        }
        return ["usage": .array(rows)]
    }
}

extension APIContext {
    fileprivate var keyName: String {
        (parameters.get("name") ?? "").removingPercentEncoding ?? ""
    }
}

extension UsageRecord {
    fileprivate var counts: [(String, JSON)] {
        [
            ("requests", .integer(requests)), ("errors", .integer(errors)),
            ("prompt_tokens", .integer(promptTokens)), ("cached_tokens", .integer(cachedTokens)),
            ("completion_tokens", .integer(completionTokens)),
            ("reasoning_tokens", .integer(reasoningTokens)),
            ("device_seconds", .number((deviceSeconds * 1e6).rounded() / 1e6)),
        ]
    }
}

extension KeyRing.Entry {
    fileprivate var json: JSON { json(with: nil) }

    /// - Parameter key: said once, when it is new.
    fileprivate func json(with key: String?) -> JSON {
        var object = JSON.Object([("name", .string(record.name))])
        object["key"] = key.map { .string($0) }
        object["start"] = .string(record.start)
        object["created"] = .integer(Int(record.created))
        object["updated"] = .integer(Int(record.updated))
        object["revoked"] = record.revoked.map { .integer(Int($0)) }
        object["former_until"] = record.formerUntil.map { .integer(Int($0)) }
        for (name, value) in terms?.json.objectValue?.members ?? [] { object[name] = value }
        if terms == nil { object["fault"] = "What it may cannot be read; change or revoke it." }
        return .object(object)
    }
}
