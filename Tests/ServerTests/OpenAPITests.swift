import Foundation
import HTTPTypes
import JSONTree
import Server
import TestSupport
import Testing

/// The description of the API says what the code does.
struct OpenAPITests {
    @Test func everyRouteIsDescribedAndNoOther() async throws {
        let described = Set(
            APIServer.describedRoutes.map { "\($0.method) \($0.path)" })
        #expect(described.count == APIServer.describedRoutes.count)
        let routes = try await TinyServer.routes()
        let registered = Set(
            routes.map { method, path in
                "\(method) \(path.replacingOccurrences(of: "**", with: "{name}"))"
            })
        #expect(described == registered)
    }

    /// Every name that a reader of bodies reads, as its source says, is in the description of some body, and no other.
    @Test func everyParameterIsDescribedAndNoOther() async throws {
        let folder = Repository.path("Sources/OpenAIWire") + "/"
        let reads = [
            /(?:parameters|inner|named)\.(?:string|bool|integer|number|strings|integers|json|required|accept)\(\s*"(\w+)"/
        ]
        var read: Set<String> = ["model"]
        for file in [
            "AnswerForm", "ChatRequest", "CompletionRequest", "SamplingOptions", "TextRequests",
            "AdapterChange", "ToolChoice", "MessagesRequest", "ResponsesRequest",
            "TakeoffRequests", "ScaledAdapter", "KeyTerms", "KeyRequests", "EmbeddingRequest",
            "ClassificationRequest",
        ] {
            let text = try String(contentsOfFile: folder + file + ".swift", encoding: .utf8)
            for pattern in reads {
                for match in text.matches(of: pattern) { read.insert(String(match.1)) }
            }
            for list in text.matches(of: /\.ignore\(([^)]*)\)/) {
                for name in list.1.matches(of: /"(\w+)"/) { read.insert(String(name.1)) }
            }
            for list in text.matches(of: /for name in \[([^\]]*)\]/) {
                for name in list.1.matches(of: /"(\w+)"/) { read.insert(String(name.1)) }
            }
        }
        // Of keys, whose other members are stored as they come.
        read.insert("duration")
        // Of messages and formats, whose members the description leaves open.
        read.subtract([
            "content", "tool_calls", "annotations", "type", "refusal", "tool_call_id",
            "audio", "generate_summary", "eager_input_streaming", "display", "summary",
            "budget_tokens", "effort", "input_examples", "id", "scale",
        ])
        try await TinyServer.run { [read] server in
            let document = try await server.send(.get, "/openapi.json")
            #expect(document.status == 200)
            var described: Set<String> = []
            func collect(_ schema: JSON?) {
                for member in schema?["properties"]?.objectValue?.members ?? [] {
                    described.insert(member.name)
                    collect(member.value)
                }
            }
            for path in document.json["paths"]?.objectValue?.members ?? [] {
                for operation in path.value.objectValue?.members ?? [] {
                    collect(
                        operation.value["requestBody"]?["content"]?["application/json"]?["schema"])
                }
            }
            described.remove("type")
            #expect(described == read, "\(described.symmetricDifference(read).sorted())")
        }
    }

    /// What the description gives as the only values is accepted, and so is every default.
    @Test func valuesThatAreDescribedAreAccepted() async throws {
        try await TinyServer.run { server in
            let document = try await server.send(.get, "/openapi.json")
            for (path, start) in [
                ("/v1/completions", #"{"model":"base","prompt":"a","max_tokens":1"#),
                (
                    "/v1/chat/completions",
                    #"{"model":"base","messages":[{"role":"user","content":"a"}],"max_tokens":1"#
                ),
            ] {
                let schema = document.json["paths"]?[path]?["post"]?["requestBody"]?["content"]?[
                    "application/json"]?["schema"]
                var count = 0
                for member in schema?["properties"]?.objectValue?.members ?? [] {
                    let values =
                        (member.value["enum"]?.arrayValue ?? [])
                        + [member.value["default"]].compactMap(\.self)
                    for value in values {
                        let answer = try await server.post(
                            path, #"\#(start),"\#(member.name)":\#(value.text())}"#)
                        #expect(answer.status == 200, "\(member.name): \(answer.text)")
                        count += 1
                    }
                }
                #expect(count > 15)
            }
        }
    }
}
