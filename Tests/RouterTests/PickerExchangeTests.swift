import Foundation
import JSONTree
import Router
import RouterWire
import SwiftProtobuf
import Testing

/// The order of messages that Envoy keeps, in both ways of sending bodies.
struct PickerExchangeTests {
    typealias Incoming = Envoy_Service_ExtProc_V3_ProcessingRequest
    typealias Mode = Envoy_Service_ExtProc_V3_ProtocolConfiguration.BodySendMode

    static func headers(
        _ values: [String: String] = [":method": "POST"], mode: Mode, ends: Bool = false,
        subset: SwiftProtobuf.Google_Protobuf_Value? = nil
    ) -> Incoming {
        .with { message in
            message.requestHeaders.headers.headers = values.map { name, value in
                .with {
                    $0.key = name
                    $0.rawValue = Data(value.utf8)
                }
            }
            message.requestHeaders.endOfStream = ends
            message.protocolConfig.requestBodyMode = mode
            if let subset {
                message.metadataContext.filterMetadata["envoy.lb.subset_hint"] = .init(fields: [
                    "x-gateway-destination-endpoint-subset": subset
                ])
            }
        }
    }

    static func body(_ bytes: some Sequence<UInt8>, ends: Bool) -> Incoming {
        .with {
            $0.requestBody.body = Data(bytes)
            $0.requestBody.endOfStream = ends
        }
    }

    static func request(_ action: PickerExchange.Action) -> RoutedRequest? {
        if case .decide(let request) = action { request } else { nil }
    }

    static func sent(_ action: PickerExchange.Action) -> [PickerExchange.Outgoing] {
        if case .send(let messages) = action { messages } else { [] }
    }

    static let decision = RoutingDecision.send(["10.0.0.1:80", "10.0.0.2:80"])
    static let destination = "10.0.0.1:80,10.0.0.2:80"

    static func expectDestination(
        _ message: PickerExchange.Outgoing, _ common: Envoy_Service_ExtProc_V3_CommonResponse
    ) {
        let option = common.headerMutation.setHeaders.first
        #expect(option?.header.key == "x-gateway-destination-endpoint")
        #expect(option?.header.rawValue == Data(destination.utf8))
        #expect(option?.appendAction == .overwriteIfExistsOrAdd)
        let metadata = message.dynamicMetadata.fields["envoy.lb"]?.structValue
            .fields["x-gateway-destination-endpoint"]?.stringValue
        #expect(metadata == destination)
        #expect(common.clearRouteCache_p)
    }

    @Test func aBodyAtOnceIsAnsweredMessageByMessage() {
        var exchange = PickerExchange()
        let first = Self.sent(exchange.receive(Self.headers(mode: .buffered)))
        #expect(first.count == 1 && first[0].response == .requestHeaders(.init()))
        let asked = Self.request(exchange.receive(Self.body(#"{"model":"a"}"#.utf8, ends: true)))
        #expect(asked?.model == "a" && asked?.byteCount == 13)
        #expect(exchange.isTimed && !exchange.isOver)
        let answers = exchange.decided(Self.decision)
        #expect(answers.count == 1 && exchange.isOver)
        Self.expectDestination(answers[0], answers[0].requestBody.response)
        #expect(answers[0].requestBody.response.bodyMutation.mutation == nil)
    }

    @Test(arguments: [0, 1, 61_999, 62_000, 62_001, 200_000])
    func aStreamedBodyComesBackWholeAfterTheHeaders(count: Int) {
        var exchange = PickerExchange()
        #expect(Self.sent(exchange.receive(Self.headers(mode: .fullDuplexStreamed))).isEmpty)
        let text =
            Array(#"{"model":"a","prompt":""#.utf8)
            + Array(repeating: UInt8(ascii: "x"), count: count) + Array(#""}"#.utf8)
        var asked: RoutedRequest?
        for start in stride(from: 0, to: text.count, by: 16_384) {
            let end = min(start + 16_384, text.count)
            asked = Self.request(
                exchange.receive(Self.body(text[start..<end], ends: end == text.count)))
        }
        #expect(asked?.model == "a" && asked?.byteCount == text.count && !exchange.isTimed)
        let answers = exchange.decided(Self.decision)
        Self.expectDestination(answers[0], answers[0].requestHeaders.response)
        let pieces = answers.dropFirst().map(\.requestBody.response.bodyMutation.streamedResponse)
        #expect(Data(pieces.map(\.body).joined()) == Data(text))
        #expect(pieces.allSatisfy { $0.body.count <= 62_000 })
        #expect(
            pieces.map(\.endOfStream) == Array(repeating: false, count: pieces.count - 1) + [true])
        #expect(!exchange.isOver)
    }

    @Test func trailersEndAStreamedBody() {
        var exchange = PickerExchange()
        _ = exchange.receive(Self.headers(mode: .fullDuplexStreamed))
        _ = exchange.receive(Self.body(#"{"model":"a"}"#.utf8, ends: false))
        let asked = Self.request(exchange.receive(.with { $0.requestTrailers = .init() }))
        #expect(asked?.model == "a")
        let answers = exchange.decided(Self.decision)
        #expect(answers.count == 3)
        #expect(!answers[1].requestBody.response.bodyMutation.streamedResponse.endOfStream)
        #expect(answers[2].response == .requestTrailers(.init()))
    }

    @Test(arguments: [Mode.buffered, .fullDuplexStreamed, .none])
    func aRequestWithoutABodyIsDecidedAtOnce(mode: Mode) {
        var exchange = PickerExchange()
        let asked = Self.request(
            exchange.receive(Self.headers([":method": "GET"], mode: mode, ends: true)))
        #expect(asked != nil && asked?.model == nil)
        let answers = exchange.decided(Self.decision)
        #expect(answers.count == 1)
        Self.expectDestination(answers[0], answers[0].requestHeaders.response)
    }

    @Test func theAnswerPassesUnchanged() {
        var exchange = PickerExchange()
        _ = exchange.receive(Self.headers(mode: .fullDuplexStreamed, ends: true))
        _ = exchange.decided(Self.decision)
        let headers = Self.sent(exchange.receive(.with { $0.responseHeaders = .init() }))
        #expect(headers.count == 1 && headers[0].responseHeaders.response == .init())
        let served = Self.sent(
            exchange.receive(
                .with {
                    $0.responseHeaders = .init()
                    $0.attributes["envoy.filters.http.ext_proc"] = .init(fields: [
                        "upstream.address": .init(stringValue: "10.0.0.2:80")
                    ])
                }))
        let option = served.first?.responseHeaders.response.headerMutation.setHeaders.first
        #expect(option?.header.key == "x-gateway-destination-endpoint-served")
        #expect(option?.header.rawValue == Data("10.0.0.2:80".utf8))
        for ends in [false, true] {
            let piece = Self.sent(
                exchange.receive(
                    .with {
                        $0.responseBody.body = Data("data: x\n\n".utf8)
                        $0.responseBody.endOfStream = ends
                    }))
            let back = piece.first?.responseBody.response.bodyMutation.streamedResponse
            #expect(back?.body == Data("data: x\n\n".utf8) && back?.endOfStream == ends)
        }
        #expect(Self.sent(exchange.receive(.with { $0.responseTrailers = .init() })).count == 1)
    }

    @Test func refusalsAreTheApisOwn() throws {
        var exchange = PickerExchange()
        _ = exchange.receive(Self.headers(mode: .buffered, ends: true))
        let refusal = RoutingDecision.Refusal(
            status: 503, code: "no_replica", message: "None.", retryAfter: 5)
        let answer = exchange.decided(.refuse(refusal))[0].immediateResponse
        #expect(answer.status.code == 503)
        let json = try JSON(parsing: Array(answer.body))
        #expect(json["error"]?["code"] == "no_replica" && json["error"]?["type"] == "server_error")
        let headers = answer.headers.setHeaders.map {
            "\($0.header.key): \(String(decoding: $0.header.rawValue, as: UTF8.self))"
        }
        #expect(headers == ["content-type: application/json", "retry-after: 5"])
    }

    @Test func theSubsetAndTheTenantAreRead() {
        func asked(_ values: [String: String], _ subset: Google_Protobuf_Value?) -> RoutedRequest? {
            var exchange = PickerExchange()
            return Self.request(
                exchange.receive(Self.headers(values, mode: .buffered, ends: true, subset: subset)))
        }
        let list = Google_Protobuf_Value(
            listValue: .init(values: [
                .init(stringValue: "10.0.0.1:80"), .init(stringValue: " 10.0.0.2:80 "),
            ]))
        #expect(asked([:], list)?.allowed == ["10.0.0.1:80", "10.0.0.2:80"])
        #expect(
            asked([:], .init(stringValue: "10.0.0.1:80,10.0.0.2:80"))?.allowed == [
                "10.0.0.1:80", "10.0.0.2:80",
            ])
        #expect(asked([:], .init(stringValue: ""))?.allowed == [])
        #expect(asked([:], nil)?.allowed == nil)
        #expect(asked(["x-llm-d-inference-fairness-id": "red"], nil)?.tenant == "red")
        let one = asked(["authorization": "Bearer one"], nil)?.tenant
        #expect(
            one != asked(["authorization": "Bearer two"], nil)?.tenant
                && one?.contains("one") == false)
    }

    @Test func aHugeBodyIsRefused() {
        var exchange = PickerExchange()
        _ = exchange.receive(Self.headers(mode: .fullDuplexStreamed))
        let piece = Self.body(Array(repeating: UInt8(0), count: 8 << 20), ends: false)
        #expect(Self.sent(exchange.receive(piece)).isEmpty)
        #expect(Self.sent(exchange.receive(piece)).isEmpty)
        #expect(Self.sent(exchange.receive(piece)).first?.immediateResponse.status.code == 413)
    }
}
