internal import GRPCCore
internal import RouterWire
internal import SwiftProtobuf
internal import Synchronization

/// gRPC's health check. It says that the router serves only while a watchdog gets decisions out of it.
struct HealthService: Grpc_Health_V1_Health.SimpleServiceProtocol {
    let watchdog: Watchdog

    private static let services: Set<String> = [
        "", "liveness", "readiness", "envoy.service.ext_proc.v3.ExternalProcessor",
        "externalscaler.ExternalScaler",
    ]

    func check(
        request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext
    ) async throws -> Grpc_Health_V1_HealthCheckResponse {
        guard HealthService.services.contains(request.service) else {
            throw RPCError(code: .notFound, message: "There is no such service here.")
        }
        return .with { $0.status = status }
    }

    func watch(
        request: Grpc_Health_V1_HealthCheckRequest,
        response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>, context: ServerContext
    ) async throws {
        let isKnown = HealthService.services.contains(request.service)
        var last: Grpc_Health_V1_HealthCheckResponse.ServingStatus?
        while !Task.isCancelled, !context.cancellation.isCancelled {
            let status = isKnown ? status : .serviceUnknown
            if status != last { try await response.write(.with { $0.status = status }) }
            last = status
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    private var status: Grpc_Health_V1_HealthCheckResponse.ServingStatus {
        watchdog.isWell ? .serving : .notServing
    }
}

/// Runs a real decision four times a second, and remembers when the last one came back.
final class Watchdog: Sendable {
    private let core: RouterCore
    private let last = Mutex(ContinuousClock.now)
    private let isStopping = Atomic<Bool>(false)
    private static let pace = Duration.milliseconds(250)
    private static let patience = Duration.seconds(2)

    init(core: RouterCore) { self.core = core }

    var isWell: Bool {
        !isStopping.load(ordering: .relaxed)
            && last.withLock { .now - $0 } < Watchdog.patience
    }

    /// Makes the gateway go elsewhere.
    func stop() { isStopping.store(true, ordering: .relaxed) }

    func run() async {
        repeat {
            core.probe()
            last.withLock { $0 = .now }
        } while (try? await Task.sleep(for: Watchdog.pace)) != nil
    }
}
