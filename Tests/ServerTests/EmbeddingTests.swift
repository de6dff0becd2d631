import Foundation
import JSONTree
import Testing

/// Texts as vectors over HTTP. That they are the model's own is ConformanceTests' concern.
struct EmbeddingTests {
    private static func vectors(_ answer: TinyServer.Answer) -> [[Double]] {
        (answer.json["data"]?.arrayValue ?? []).map {
            $0["embedding"]?.arrayValue?.compactMap(\.doubleValue) ?? []
        }
    }

    private static func length(_ vector: [Double]) -> Double {
        vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
    }

    @Test func textsBecomeVectors() async throws {
        try await TinyServer.run { server in
            func ask(_ more: String, model: String = "base") async throws -> TinyServer.Answer {
                let answer = try await server.post(
                    "/v1/embeddings", #"{"model":"\#(model)",\#(more)}"#)
                #expect(answer.status == 200, "\(answer.text)")
                return answer
            }
            let texts = (0..<40).map { String(repeating: "ab", count: 1 + $0 % 9) + "c" }
            let list = texts.map { "\"\($0)\"" }.joined(separator: ",")
            let many = try await ask(#""input":[\#(list)]"#)
            #expect(many.json["usage"]?["prompt_tokens"]?.integerValue == texts.joined().count)
            #expect(
                many.json["data"]?.arrayValue?.compactMap { $0["index"]?.integerValue }
                    == Array(0..<40))
            let all = Self.vectors(many)
            #expect(all.allSatisfy { abs(Self.length($0) - 1) < 1e-6 && $0.count == all[0].count })
            #expect(Set(all).count == 9)
            // One alone is the same as among others, as text and as tokens.
            #expect(Self.vectors(try await ask(#""input":"ababc""#)) == [all[1]])
            #expect(Self.vectors(try await ask(#""input":[3,4,3,4,5]"#)) == [all[1]])
            #expect(
                Self.vectors(try await ask(#""input":[[3,4,3,4,5],[3,4,5]]"#)) == [all[1], all[0]])
            for model in ["plain", "dora"] {
                #expect(Self.vectors(try await ask(#""input":"ababc""#, model: model)) != [all[1]])
            }
            let mean = Self.vectors(try await ask(#""input":"ababc","pooling":"mean""#))[0]
            #expect(mean != all[1] && abs(Self.length(mean) - 1) < 1e-6)

            let cut = Self.vectors(try await ask(#""input":"ababc","dimensions":8"#))[0]
            #expect(cut.count == 8 && abs(Self.length(cut) - 1) < 1e-6)
            #expect(abs(cut[0] / cut[1] - all[1][0] / all[1][1]) < 1e-4)
            let coded = try await ask(#""input":"ababc","encoding_format":"base64""#)
            let text = coded.json["data"]?.arrayValue?[0]["embedding"]?.stringValue ?? ""
            let bytes = Array(Data(base64Encoded: text) ?? Data())
            let floats = stride(from: 0, to: bytes.count, by: 4).map { start in
                Double(
                    Float(
                        bitPattern: (0..<4).reduce(UInt32(0)) {
                            $0 | UInt32(bytes[start + $1]) << (8 * UInt32($1))
                        }))
            }
            #expect(floats == all[1])
        }
    }

    @Test(arguments: [
        (#"{"model":"base"}"#, "missing_parameter", "input"),
        (#"{"input":"a"}"#, "missing_parameter", "model"),
        (#"{"model":"base","input":[]}"#, "invalid_type", "input"),
        (#"{"model":"base","input":["a",3]}"#, "invalid_type", "input"),
        (#"{"model":"base","input":{"a":1}}"#, "invalid_type", "input"),
        (#"{"model":"base","input":[999999]}"#, "invalid_token", "prompt"),
        (#"{"model":"base","input":""}"#, "empty_prompt", "prompt"),
        (#"{"model":"base","input":"a","dimensions":0}"#, "invalid_value", "dimensions"),
        (#"{"model":"base","input":"a","dimensions":5000}"#, "invalid_value", "dimensions"),
        (#"{"model":"base","input":"a","pooling":"cls"}"#, "invalid_value", "pooling"),
        (
            #"{"model":"base","input":"a","encoding_format":"hex"}"#, "invalid_value",
            "encoding_format"
        ),
        (#"{"model":"base","input":"a","stream":true}"#, "unsupported_parameter", "stream"),
        (#"{"model":"bose","input":"a"}"#, "model_not_found", "model"),
    ])
    func whatCannotBeIsRefused(body: String, code: String, parameter: String) async throws {
        try await TinyServer.run(adapters: []) { server in
            let answer = try await server.post("/v1/embeddings", body)
            #expect(answer.code == code, "\(answer.text)")
            #expect(answer.json["error"]?["param"]?.stringValue == parameter)
        }
    }

    /// A text that does not fit the context is refused, and nothing of the request is computed.
    @Test func longTextsAreRefused() async throws {
        try await TinyServer.run(adapters: []) { server in
            let long = String(repeating: "a", count: 65)
            let answer = try await server.post(
                "/v1/embeddings", #"{"model":"base","input":["a","\#(long)"]}"#)
            #expect(answer.status == 400 && answer.code == "context_length_exceeded")
        }
    }
}
