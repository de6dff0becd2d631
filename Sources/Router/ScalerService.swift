internal import GRPCCore
internal import RouterWire
internal import SwiftProtobuf

/// KEDA's external scaler: whether any replica is needed, and how many requests and adapters there are
/// to spread (https://keda.sh/docs/latest/concepts/external-scalers/).
struct ScalerService: Externalscaler_ExternalScaler.SimpleServiceProtocol {
    let core: RouterCore
    /// The share of a replica's slots, and of its memory for adapters, that it is to be used for.
    let targetUse: Double
    /// Until a replica has said how many requests it can run and what memory it has for adapters.
    let assumedSlots: Int
    let assumedBudget: Int

    static let demand = "martlet_demand"
    static let memory = "martlet_adapter_memory"

    func isActive(
        request: Externalscaler_ScaledObjectRef, context: ServerContext
    ) async throws -> Externalscaler_IsActiveResponse {
        .with { $0.result = core.demand.isActive }
    }

    /// Says so at once when somebody begins to wait, and whenever it changes.
    func streamIsActive(
        request: Externalscaler_ScaledObjectRef,
        response: RPCWriter<Externalscaler_IsActiveResponse>, context: ServerContext
    ) async throws {
        let (wakes, continuation) = AsyncStream<Void>.makeStream(
            bufferingPolicy: .bufferingNewest(1))
        let stop = core.onHold { continuation.yield() }
        defer { stop() }
        let ticking = Task {
            while (try? await Task.sleep(for: .seconds(1))) != nil { continuation.yield() }
        }
        defer { ticking.cancel() }
        continuation.yield()
        try await withRPCCancellationHandler {
            var last: Bool?
            for await _ in wakes {
                let isActive = core.demand.isActive
                if isActive != last { try await response.write(.with { $0.result = isActive }) }
                last = isActive
            }
        } onCancelRPC: {
            continuation.finish()
        }
    }

    func getMetricSpec(
        request: Externalscaler_ScaledObjectRef, context: ServerContext
    ) async throws -> Externalscaler_GetMetricSpecResponse {
        let demand = core.demand
        let slots = Double(demand.slotsPerReplica ?? assumedSlots) * targetUse
        let bytes = Double(demand.budgetPerReplica ?? assumedBudget) * targetUse
        return .with { answer in
            answer.metricSpecs = [(ScalerService.demand, slots), (ScalerService.memory, bytes)]
                .map { name, target in
                    .with {
                        $0.metricName = name
                        $0.targetSize = Int64(max(1, target))
                        $0.targetSizeFloat = max(1, target)
                    }
                }
        }
    }

    func getMetrics(
        request: Externalscaler_GetMetricsRequest, context: ServerContext
    ) async throws -> Externalscaler_GetMetricsResponse {
        let demand = core.demand
        let value: Int
        switch request.metricName {
        case ScalerService.demand: value = demand.requests
        case ScalerService.memory: value = demand.isActive ? demand.hotByteCount : 0
        default:
            throw RPCError(
                code: .invalidArgument,
                message: "There are \(ScalerService.demand) and \(ScalerService.memory).")
        }
        return .with { answer in
            answer.metricValues = [
                .with {
                    $0.metricName = request.metricName
                    $0.metricValue = Int64(value)
                    $0.metricValueFloat = Double(value)
                }
            ]
        }
    }
}
