import JSONTree
import OpenAIWire
import Testing

/// Every parameter is read, or named in a refusal.
struct RequestTests {
    static func completion(_ more: String) throws -> CompletionRequest {
        try CompletionRequest(try JSON(parsing: #"{"model":"m","prompt":"p""# + more + "}"))
    }

    @Test func defaultsAreOpenAIs() throws {
        let request = try RequestTests.completion("")
        #expect(request.prompts == [.text("p")] && request.sampling.maximumTokens == 16)
        #expect(request.sampling.temperature == nil && request.sampling.count == 1)
        #expect(!request.echoes && request.stream == nil && request.logprobCount == nil)
    }

    @Test func everyParameterReaches() throws {
        let sampling = try RequestTests.completion(
            #"""
            ,"max_tokens":7,"min_tokens":2,"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,
            "repetition_penalty":1.1,"presence_penalty":-1,"frequency_penalty":2,"seed":-3,"n":4,
            "logit_bias":{"5":-100,"6":1.5},"stop":["a","b"],"stop_token_ids":[1,2],
            "include_stop_str_in_output":true,"ignore_eos":true,"skip_special_tokens":false,
            "prompt_logprobs":3,"return_tokens_as_token_ids":true
            """#
        ).sampling
        var expected = try RequestTests.completion("").sampling
        (expected.maximumTokens, expected.minimumTokens) = (7, 2)
        (expected.temperature, expected.topP, expected.topK, expected.minP) = (0.5, 0.9, 40, 0.1)
        (expected.repetitionPenalty, expected.presencePenalty) = (1.1, -1)
        (expected.frequencyPenalty, expected.seed, expected.count) = (2, -3, 4)
        expected.logitBias = [5: -100, 6: 1.5]
        (expected.stopStrings, expected.stopTokens) = (["a", "b"], [1, 2])
        (expected.includesStopString, expected.ignoresEnd) = (true, true)
        (expected.skipsSpecialTokens, expected.promptLogprobCount) = (false, 3)
        expected.writesTokenIDs = true
        #expect(sampling == expected)
    }

    @Test(arguments: [
        ("nonsense", "1", "unsupported_parameter"), ("echo", "\"x\"", "invalid_type"),
        ("suffix", "\"x\"", "unsupported_parameter"), ("best_of", "2", "unsupported_parameter"),
        ("store", "true", "unsupported_parameter"), ("temperature", "-0.1", "invalid_value"),
        ("temperature", "\"1\"", "invalid_type"), ("top_p", "0", "invalid_value"),
        ("n", "17", "invalid_value"), ("seed", "1.5", "invalid_type"),
        ("stop", "[1]", "invalid_type"),
        ("stop", "\"\"", "invalid_value"), ("logit_bias", "{\"-1\":1}", "invalid_value"),
        ("logprobs", "21", "invalid_value"), ("stream_options", "{}", "invalid_value"),
    ])
    func refusalsNameTheParameter(name: String, value: String, code: String) throws {
        let error = #expect(throws: APIError.self) {
            try RequestTests.completion(",\"\(name)\":\(value)")
        }
        #expect(error?.code == code && error?.parameter == name && error?.status == 400)
        #expect(error?.message.contains(name) == true)
    }

    @Test func nullIsAbsent() throws {
        #expect(
            try RequestTests.completion(#","nonsense":null,"seed":null,"stop":null"#)
                == RequestTests.completion(""))
    }

    @Test func promptsOfEveryForm() throws {
        func prompts(_ text: String) throws -> [CompletionRequest.Prompt] {
            try CompletionRequest(try JSON(parsing: #"{"model":"m","prompt":\#(text)}"#)).prompts
        }
        #expect(try prompts("[1,2]") == [.tokens([1, 2])])
        #expect(try prompts(#"["a","b"]"#) == [.text("a"), .text("b")])
        #expect(try prompts("[[1],[2,3]]") == [.tokens([1]), .tokens([2, 3])])
        for bad in ["[]", "[[]]", "1", "{}", "[1.5]", #"["a",1]"#, "[[1],[]]"] {
            #expect(throws: APIError.self, "\(bad)") { try prompts(bad) }
        }
    }
}
