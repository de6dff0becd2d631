internal import GRPCCore
internal import Placement
internal import RouterWire
internal import SwiftProtobuf

/// Envoy's external processing service: where each request is to go.
struct EndpointPicker: Envoy_Service_ExtProc_V3_ExternalProcessor.SimpleServiceProtocol {
    let core: RouterCore

    func process(
        request: RPCAsyncSequence<Envoy_Service_ExtProc_V3_ProcessingRequest, any Error>,
        response: RPCWriter<Envoy_Service_ExtProc_V3_ProcessingResponse>,
        context: ServerContext
    ) async throws {
        var exchange = PickerExchange()
        for try await message in request {
            switch exchange.receive(message) {
            case .send(let answers):
                for answer in answers { try await response.write(answer) }
            case .decide(let request):
                let decision = try await decide(request, exchange, response)
                for answer in exchange.decided(decision) { try await response.write(answer) }
                if exchange.isOver { return }
            }
        }
    }

    private func decide(
        _ request: RoutedRequest, _ exchange: PickerExchange,
        _ response: RPCWriter<Envoy_Service_ExtProc_V3_ProcessingResponse>
    ) async throws -> RoutingDecision {
        if let decision = core.decideNow(request) { return decision }
        if exchange.isTimed {
            // The gateway would take the silence for a router that hangs.
            let seconds = core.limits.holdSeconds + 10
            try await response.write(
                .with { $0.overrideMessageTimeout = .init(seconds: Int64(seconds), nanos: 0) })
        }
        let waiting = Task { [core] in await core.hold(request) }
        // A client that leaves ends its call, which cancels no task.
        return await withRPCCancellationHandler {
            await withTaskCancellationHandler {
                await waiting.value
            } onCancel: {
                waiting.cancel()
            }
        } onCancelRPC: {
            waiting.cancel()
        }
    }
}
