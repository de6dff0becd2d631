internal import HTTPTypes
internal import Hummingbird
internal import JSONTree
internal import Logging
internal import NIOCore
internal import Page
internal import Placement
internal import ServiceLifecycle
internal import Telemetry

/// What operators and other routers ask a router, over HTTP.
struct StatusServer {
    let core: RouterCore
    let watchdog: Watchdog
    let metrics: PrometheusMetrics

    func router() -> Hummingbird.Router<BasicRequestContext> {
        let router = Hummingbird.Router(context: BasicRequestContext.self)
        for path in ["health", "ready"] {
            router.get(RouterPath(path)) { _, _ -> Response in
                watchdog.isWell
                    ? answer(["status": "ok"])
                    : answer(["status": "no decision comes back"], .serviceUnavailable)
            }
        }
        PageRoutes().add(to: router)
        router.get("state") { _, _ -> Response in answer(state) }
        router.get("demand") { _, _ -> Response in answer(demand) }
        router.get("metrics") { _, _ -> Response in
            record()
            return Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: metrics.text())))
        }
        return router
    }

    private func answer(_ json: JSON, _ status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: json.text())))
    }

    /// For other routers what is held here alone, and for autoscalers what there is in all.
    private var demand: JSON {
        let own = core.ownDemand
        let all = core.demand
        return [
            "router": .string(core.id), "held": .integer(own.held),
            "last_request_seconds": own.lastRequest.map { .number($0) } ?? .null,
            "cluster": [
                "active": .bool(all.isActive), "requests": .integer(all.requests),
                "held": .integer(all.held), "ready": .integer(all.readyCount),
                "slots_per_replica": all.slotsPerReplica.map { .integer($0) } ?? .null,
                "hot_bytes": .integer(all.hotByteCount),
                "budget_per_replica": all.budgetPerReplica.map { .integer($0) } ?? .null,
            ],
        ]
    }

    private var state: JSON {
        let (view, now) = core.view
        let replicas = view.replicas.indices.compactMap { place -> JSON? in
            guard let replica = view.replicas[place] else { return nil }
            return [
                "name": .string(replica.name), "ready": .bool(view.isReady(place, at: now)),
                "joining": .bool(view.isUp(place, at: now) && !view.isReady(place, at: now)),
                "draining": .bool(replica.report.isDraining),
                "silent_seconds": replica.lastHeard.map { .number(now - $0) } ?? .null,
                "running": .integer(replica.report.runningCount),
                "waiting": .integer(replica.report.waitingCount),
                "slots": .integer(replica.report.slotCount),
                "host": [
                    "bytes": .integer(replica.report.hostByteCount),
                    "budget": .integer(replica.report.hostBudget),
                ],
            ]
        }
        let names = view.replicas.map { $0?.name ?? "" }
        let adapters = view.adapters.map { adapter -> JSON in
            let places = JSON.Object(
                adapter.tiers.enumerated().filter { $1 > .source }.map {
                    (names[$0], .string($1.name))
                })
            return [
                "name": .string(adapter.key), "heat": .number(adapter.heat),
                "copies": .integer(adapter.copies),
                "planned": .array(adapter.plan.map { .string(names[$0]) }),
                "bytes": .integer(adapter.byteCount), "tiers": .object(places),
            ]
        }
        let counts = core.counts
        return [
            "replicas": .array(replicas), "adapters": .array(adapters),
            "held": .integer(core.demand.held),
            "counts": [
                "picked": .integer(counts.picked), "held": .integer(counts.held),
                "refused": .integer(counts.refused), "loads": .integer(counts.loads),
            ],
        ]
    }

    private func record() { RouterMetrics().record(core.counts, core.demand) }
}
