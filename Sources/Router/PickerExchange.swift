internal import Foundation
internal import JSONTree
internal import OpenAIWire
internal import Placement
package import RouterWire
internal import SwiftProtobuf

/// One request's conversation with the gateway: what it sends goes in, what it is to be told comes out.
///
/// Envoy's external processing sends headers, body and trailers of the request, then of the answer.
/// Two ways of sending the body are understood: all of it at once (`BUFFERED`), where each message
/// gets one answer, and piece by piece with the whole body sent back (`FULL_DUPLEX_STREAMED`, which the
/// endpoint picker protocol of the Gateway API asks for). Sources:
/// https://github.com/envoyproxy/envoy/blob/main/api/envoy/service/ext_proc/v3/external_processor.proto
/// https://github.com/kubernetes-sigs/gateway-api-inference-extension/tree/main/docs/proposals/004-endpoint-picker-protocol
package struct PickerExchange {
    package typealias Incoming = Envoy_Service_ExtProc_V3_ProcessingRequest
    package typealias Outgoing = Envoy_Service_ExtProc_V3_ProcessingResponse

    package enum Action {
        /// Tell the gateway this, if anything.
        case send([Outgoing])
        /// Decide about the request, and call `decided`.
        case decide(RoutedRequest)
    }

    /// Which message of the request the decision goes with.
    private enum Question {
        case headers
        case wholeBody
        case streamedBody(endsWithTrailers: Bool)
    }

    package init() {}

    private var request = RoutedRequest()
    private var isPost = false
    private var isDuplex = true
    private var body: [UInt8] = []
    private var question = Question.headers
    private var isDecided = false

    /// Bytes of a request's body; a server takes less.
    static let bodyByteLimit = 16 << 20
    /// Envoy takes no larger messages than 64 KiB without being told to.
    private static let pieceByteCount = 62_000

    static let endpointKey = "x-gateway-destination-endpoint"
    static let servedKey = "x-gateway-destination-endpoint-served"
    private static let subsetKey = "x-gateway-destination-endpoint-subset"

    /// Whether the gateway counts the time of an answer, unless it is told to wait.
    package var isTimed: Bool { !isDuplex }

    /// Whether the gateway has nothing more to ask: where it sends bodies at once, the answer is none of
    /// the router's business.
    package var isOver: Bool { isDecided && !isDuplex }

    package mutating func receive(_ message: Incoming) -> Action {
        switch message.request {
        case .requestHeaders(let headers): begin(headers, message)
        case .requestBody(let piece): take(piece)
        case .requestTrailers: endWithTrailers()
        case .responseHeaders: .send([answered(message)])
        case .responseBody(let piece): .send([passOn(piece)])
        case .responseTrailers: .send([.with { $0.responseTrailers = .init() }])
        case nil: .send([])
        }
    }

    // MARK: The request

    private mutating func begin(
        _ headers: Envoy_Service_ExtProc_V3_HttpHeaders, _ message: Incoming
    ) -> Action {
        let values = headers.values
        isPost = values[":method"] == "POST"
        isDuplex =
            switch message.protocolConfig.requestBodyMode {
            case .buffered, .bufferedPartial: false
            default: true
            }
        request.tenant = Tenant.name(values)
        request.model = values["x-martlet-adapter"]
        request.allowed = allowed(message)
        guard !headers.endOfStream else {
            question = .headers
            return .decide(request)
        }
        question = isDuplex ? .streamedBody(endsWithTrailers: false) : .wholeBody
        // Where the body comes at once, the headers have an answer of their own.
        return .send(isDuplex ? [] : [.with { $0.requestHeaders = .init() }])
    }

    private mutating func take(_ piece: Envoy_Service_ExtProc_V3_HttpBody) -> Action {
        guard body.count + piece.body.count <= PickerExchange.bodyByteLimit else {
            body = []
            return .send([
                PickerExchange.refusal(
                    .init(
                        status: 413, code: "body_too_large", message: "The body is too large.",
                        retryAfter: 0))
            ])
        }
        body += piece.body
        guard piece.endOfStream || !isDuplex else { return .send([]) }
        return .decide(read())
    }

    private mutating func endWithTrailers() -> Action {
        question = .streamedBody(endsWithTrailers: true)
        return .decide(read())
    }

    /// What the body says.
    private mutating func read() -> RoutedRequest {
        request.byteCount = body.count
        guard isPost else { return request }
        let scan = RequestScan(body)
        request.model = request.model ?? scan.model
        if let text = scan.text {
            request.prefix = PrefixTable.hashes(of: body[text], salt: request.model ?? "")
        }
        return request
    }

    /// The gateway's hint which replicas may be picked: `ip:port`, as a list or one text.
    private func allowed(_ message: Incoming) -> Set<String>? {
        let hint = message.metadataContext.filterMetadata["envoy.lb.subset_hint"]
        guard let value = hint?.fields[PickerExchange.subsetKey] else { return nil }
        let texts =
            switch value.kind {
            case .listValue(let list): list.values.map(\.stringValue)
            default: value.stringValue.split(separator: ",").map(String.init)
            }
        return Set(texts.map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty })
    }

    /// What to tell the gateway of a decision.
    package mutating func decided(_ decision: RoutingDecision) -> [Outgoing] {
        isDecided = true
        let endpoints: [String]
        switch decision {
        case .refuse(let refusal): return [PickerExchange.refusal(refusal)]
        case .send(let list): endpoints = list
        }
        let destination = endpoints.joined(separator: ",")
        let common = Envoy_Service_ExtProc_V3_CommonResponse.with { common in
            common.clearRouteCache_p = true
            common.headerMutation.setHeaders = [
                .with { option in
                    option.header.key = PickerExchange.endpointKey
                    option.header.rawValue = Data(destination.utf8)
                    option.appendAction = .overwriteIfExistsOrAdd
                }
            ]
        }
        let metadata = Google_Protobuf_Struct(fields: [
            "envoy.lb": .init(
                structValue: .init(fields: [
                    PickerExchange.endpointKey: .init(stringValue: destination)
                ]))
        ])
        switch question {
        case .headers, .streamedBody:
            var messages: [Outgoing] = [
                .with {
                    $0.requestHeaders.response = common
                    $0.dynamicMetadata = metadata
                }
            ]
            if case .streamedBody(let endsWithTrailers) = question {
                messages += bodyBack(endsWithTrailers: endsWithTrailers)
                if endsWithTrailers { messages.append(.with { $0.requestTrailers = .init() }) }
            }
            return messages
        case .wholeBody:
            body = []
            return [
                .with {
                    $0.requestBody.response = common
                    $0.dynamicMetadata = metadata
                }
            ]
        }
    }

    private mutating func bodyBack(endsWithTrailers: Bool) -> [Outgoing] {
        let whole = body
        body = []
        var messages: [Outgoing] = []
        var start = 0
        repeat {
            let end = min(start + PickerExchange.pieceByteCount, whole.count)
            let isLast = end == whole.count
            messages.append(
                .with {
                    $0.requestBody.response.bodyMutation.streamedResponse = .with {
                        $0.body = Data(whole[start..<end])
                        $0.endOfStream = isLast && !endsWithTrailers
                    }
                })
            start = end
        } while start < whole.count
        return messages
    }

    // MARK: The answer

    /// Tells the client who answered, where the gateway tells us.
    private func answered(_ message: Incoming) -> Outgoing {
        .with { answer in
            answer.responseHeaders.response = .init()
            guard let served = served(message) else { return }
            answer.responseHeaders.response.headerMutation.setHeaders = [
                .with { option in
                    option.header.key = PickerExchange.servedKey
                    option.header.rawValue = Data(served.utf8)
                    option.appendAction = .overwriteIfExistsOrAdd
                }
            ]
        }
    }

    /// The protocol's metadata, or Envoy's own attribute.
    private func served(_ message: Incoming) -> String? {
        let metadata = message.metadataContext.filterMetadata["envoy.lb"]?
            .fields[PickerExchange.servedKey]?.stringValue
        let attribute = message.attributes["envoy.filters.http.ext_proc"]?
            .fields["upstream.address"]?.stringValue
        return [metadata, attribute].compactMap { $0 }.first { !$0.isEmpty }
    }

    private func passOn(_ piece: Envoy_Service_ExtProc_V3_HttpBody) -> Outgoing {
        .with {
            $0.responseBody.response.bodyMutation.streamedResponse = .with {
                $0.body = piece.body
                $0.endOfStream = piece.endOfStream
            }
        }
    }

    // MARK: Refusals

    private static func refusal(_ refusal: RoutingDecision.Refusal) -> Outgoing {
        .with { message in
            message.immediateResponse = .with { response in
                response.status.code = Int32(refusal.status)
                response.body = Data(refusal.json.text().utf8)
                response.details = refusal.code
                response.headers.setHeaders = refusal.headers.map { name, value in
                    .with { option in
                        option.header.key = name
                        option.header.rawValue = Data(value.utf8)
                        option.appendAction = .overwriteIfExistsOrAdd
                    }
                }
            }
        }
    }
}

extension Envoy_Service_ExtProc_V3_HttpHeaders {
    /// Envoy puts values into `raw_value`; others may use `value`.
    fileprivate var values: [String: String] {
        var values: [String: String] = [:]
        for header in headers.headers where values.count < 200 {
            values[header.key.lowercased()] =
                header.rawValue.isEmpty
                ? header.value : String(decoding: header.rawValue, as: UTF8.self)
        }
        return values
    }
}

/// Who sent a request, as far as a router can tell.
private enum Tenant {
    static func name(_ headers: [String: String]) -> String {
        if let name = headers["x-llm-d-inference-fairness-id"]
            ?? headers["x-gateway-inference-fairness-id"]
        {
            return String(name.prefix(200))
        }
        // Not the key itself, which is nobody's business here.
        return headers["authorization"].map { "key \($0.hashValue)" } ?? ""
    }
}
