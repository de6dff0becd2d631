import Foundation
import Generation
import JSONTree
import ModelFiles
import TestSupport
import Testing
import Tokenization

/// Adapters whose tokenizer has tokens that the base lacks: their texts become these tokens and come back from them, beside
/// the base and adapters without.
struct AddedTokenTests {
    private static let folder = Repository.family("tools/tied")

    private static func run(
        _ names: [String] = ["resized", "shrunk", "spare", "resized-tokens"],
        _ body: @escaping @Sendable (TinyServer) async throws -> Void
    ) async throws {
        try await TinyServer.run(
            adapters: [], sources: names.map { ($0, "\(folder)/\($0)") }, family: "tools/tied", body
        )
    }

    /// The adapter's own tokenizer, read whole.
    private static func tokenizer(_ name: String) throws -> Tokenizer {
        let url = URL(fileURLWithPath: "\(folder)/\(name)/tokenizer.json")
        return try Tokenizer(huggingFace: try JSON(parsing: Array(try Data(contentsOf: url))))
    }

    private static func integers(_ json: JSON?) -> [Int]? {
        json?.arrayValue?.compactMap(\.integerValue)
    }

    /// The tokens of a choice that has been asked for them.
    private static func tokens(_ choice: JSON?) -> [Int] {
        (choice?["logprobs"]?["tokens"]?.arrayValue ?? []).compactMap {
            Int($0.stringValue?.dropFirst("token_id:".count) ?? "")
        }
    }

    private static func text(_ value: String) -> String { JSON.string(value).text() }

    @Test func textsBecomeTheAdaptersTokens() async throws {
        let text = "he is<|im_start|> the <|im_end|>at<|tool|>on"
        try await Self.run { server in
            for name in ["model", "resized", "shrunk", "spare"] {
                let own = try Self.tokenizer(name)
                let tokens = own.encode(text)
                let model = name == "model" ? "base" : name
                let answer = try await server.post(
                    "/tokenize",
                    #"{"model":"\#(model)","prompt":\#(Self.text(text)),"return_token_strs":true}"#)
                #expect(Self.integers(answer.json["tokens"]) == tokens, "\(name)")
                #expect(
                    answer.json["token_strs"]?.arrayValue?.map(\.stringValue)
                        == tokens.map { own.token($0) })
                let back = try await server.post(
                    "/detokenize", #"{"model":"\#(model)","tokens":\#(tokens)}"#)
                #expect(back.json["prompt"]?.stringValue == text, "\(name): \(back.text)")
                let echo = try await server.post(
                    "/v1/completions",
                    #"{"model":"\#(model)","prompt":\#(Self.text(text)),"max_tokens":0,"echo":true,"logprobs":0,"return_tokens_as_token_ids":true}"#
                )
                let choice = echo.json["choices"]?.arrayValue?.first
                #expect(choice?["text"]?.stringValue == text, "\(name): \(echo.text)")
                #expect(Self.tokens(choice) == tokens, "\(name)")
                #expect(echo.json["usage"]?["prompt_tokens"]?.integerValue == tokens.count)
                let vector = try await server.post(
                    "/v1/embeddings", #"{"model":"\#(model)","input":\#(Self.text(text))}"#)
                #expect(vector.json["usage"]?["prompt_tokens"]?.integerValue == tokens.count)
            }
            #expect(
                try await server.post("/detokenize", #"{"tokens":[130]}"#).code == "invalid_token")
        }
    }

    @Test func conversationsAreWrittenWithThem() async throws {
        try await Self.run { server in
            let messages = #""messages":[{"role":"user","content":"he is"}]"#
            let rendered = try await server.post(
                "/v1/chat/completions/render", #"{"model":"resized",\#(messages)}"#)
            let tokens = try #require(Self.integers(rendered.json["prompt_token_ids"]))
            #expect(tokens.filter { $0 == 126 }.count == 2 && tokens.contains(127))
            let answer = try await server.post(
                "/v1/chat/completions",
                #"{"model":"resized",\#(messages),"max_tokens":4,"temperature":0,"logit_bias":{"128":100}}"#
            )
            #expect(answer.json["usage"]?["prompt_tokens"]?.integerValue == tokens.count)
            // Special, so that it is no text.
            let message = answer.json["choices"]?.arrayValue?.first?["message"]
            #expect(message?["content"]?.stringValue == "", "\(answer.text)")
            #expect(answer.json["usage"]?["completion_tokens"]?.integerValue == 4)
        }
    }

    @Test func theyAreWrittenAndStoppedAt() async throws {
        try await Self.run { server in
            func complete(_ model: String, _ more: String) async throws -> JSON {
                try await server.post(
                    "/v1/completions",
                    #"{"model":"\#(model)","prompt":"he","temperature":0,"max_tokens":3,\#(more)}"#
                ).json
            }
            func choice(_ answer: JSON) -> JSON? { answer["choices"]?.arrayValue?.first }
            let shown = choice(
                try await complete(
                    "resized",
                    #""logit_bias":{"128":100},"skip_special_tokens":false,"logprobs":2"#))
            #expect(shown?["text"]?.stringValue == "<|tool|><|tool|><|tool|>")
            #expect(
                shown?["logprobs"]?["tokens"]?.arrayValue?.map(\.stringValue)
                    == Array(repeating: "<|tool|>", count: 3))
            let stopped = choice(
                try await complete(
                    "resized", #""logit_bias":{"130":100},"stop_token_ids":[130]"#))
            #expect(stopped?["finish_reason"] == "stop")
            // Rows without a token are chosen and have no text, as the base's own.
            let silent = choice(try await complete("resized", #""logit_bias":{"130":100}"#))
            #expect(silent?["text"] == "" && silent?["finish_reason"] == "length")
            for (model, field) in [
                ("base", #""logit_bias":{"128":1}"#), ("spare", #""stop_token_ids":[128]"#),
                ("shrunk", #""logit_bias":{"126":1}"#), ("resized", #""logit_bias":{"131":1}"#),
            ] {
                let code = try await complete(model, field)["error"]?["code"]
                #expect(code == "invalid_token", "\(model)")
            }
            let prompt = try await server.post(
                "/v1/completions", #"{"model":"shrunk","prompt":[5,127],"max_tokens":1}"#)
            #expect(prompt.code == "invalid_token")
        }
    }

    /// Most adapters come with a tokenizer that is the base's, written anew.
    @Test func whatIsTheBasesWayIsNotKept() throws {
        for (name, tokens) in [
            ("tools/tied/spare", [126, 127]), ("tools/tied/resized", [126, 127, 128]),
            ("tools/tied/shrunk", []), ("tools/llama/hf-trainer", []),
            ("tools/llama/unsloth", []), ("tools/llama/trl-sft", []),
            ("tools/llama/torchtune", []), ("tools/llama/axolotl", []),
            ("tools/llama/llamafactory", []), ("tools/llama/peft-resized", [128, 129, 130]),
        ] {
            let family = name.split(separator: "/").prefix(2).joined(separator: "/")
            let base = try Checkpoint.open(path: Repository.family(family) + "/model")
            let own = try ModelText(base, try Tokenizer(base.tokenizer))
            let file = try AdapterFile.open(
                path: Repository.family(name), base: base, limits: AdapterLimits()
            ).settled(own.settled)
            #expect(file.text?.tokenizer == nil, "\(name)")
            #expect((file.text?.addedTokens ?? []).map(\.id) == tokens, "\(name)")
        }
    }

    /// A grammar's text may be made of them, and of nothing else than it allows.
    @Test func grammarsKnowThem() async throws {
        // Tokens that are text, as older tools add them.
        let folder = try TemporaryFolder()
        try folder.copyAdapter("\(Self.folder)/resized")
        try folder.write(
            """
            {"added_tokens_decoder":{"128":{"content":"yes","special":false,"normalized":true},
            "129":{"content":"<mark>","special":true},"500":{"content":"<far>","special":false}}}
            """, to: "tokenizer_config.json")
        try await TinyServer.run(
            adapters: [], sources: [("text", folder.path(""))], family: "tools/tied"
        ) { server in
            func complete(_ grammar: String, _ more: String = "") async throws -> JSON? {
                let answer = try await server.post(
                    "/v1/completions",
                    #"{"model":"text","prompt":"he","temperature":0,"max_tokens":9,"logprobs":0,"return_tokens_as_token_ids":true,"skip_special_tokens":false,\#(grammar)\#(more)}"#
                )
                return answer.json["choices"]?.arrayValue?.first ?? answer.json
            }
            // No row is for it.
            let far = try await server.post(
                "/v1/completions", #"{"model":"text","prompt":"he<far>","max_tokens":1}"#)
            #expect(far.code == "invalid_token")
            let free = try await complete(#""guided_regex":"(<far>|no)""#)
            #expect(free?["text"] == "no" || free?["text"] == "<far>", "\(free?.text() ?? "")")
            #expect(Self.tokens(free).allSatisfy { $0 < 131 })
            let bias = #","logit_bias":{"128":100,"129":90}"#
            let chosen = try await complete(#""guided_choice":["yes","no"]"#, bias)
            #expect(chosen?["text"] == "yes", "\(chosen?.text() ?? "")")
            #expect(Self.tokens(chosen).first == 128)
            let other = try await complete(#""guided_choice":["no"]"#, bias)
            #expect(other?["text"] == "no")
            let twice = try await complete(#""guided_regex":"(yes){3}""#, bias)
            #expect(twice?["text"] == "yesyesyes", "\(twice?.text() ?? "")")
            #expect(Self.tokens(twice).prefix(3) == [128, 128, 128])
        }
    }
}
