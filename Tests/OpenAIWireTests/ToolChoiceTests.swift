import JSONTree
import OpenAIWire
import Testing

/// Which tools an answer may call, in all the ways that clients say it.
struct ToolChoiceTests {
    private static func request(_ members: String) throws -> ChatRequest {
        let tools =
            #""tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]"#
        let body =
            #"{"model":"m","messages":[{"role":"user","content":"a"}],"# + tools + members + "}"
        return try ChatRequest(try JSON(parsing: Array(body.utf8)))
    }

    @Test(
        arguments: [
            ("", .auto), (#","tool_choice":"auto""#, .auto),
            (#","tool_choice":"required""#, .required),
            (#","tool_choice":"none""#, .none),
            (#","tool_choice":{"type":"function","function":{"name":"g"}}"#, .named("g")),
            (
                #","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
                .allowed(["f"], isNeeded: true)
            ),
            (
                #","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]}"#,
                .allowed(["f"], isNeeded: false)
            ),
        ] as [(String, ToolChoice)])
    func choicesAreUnderstood(_ members: String, _ choice: ToolChoice) throws {
        let request = try Self.request(members)
        #expect(request.toolChoice == choice)
        #expect((request.tools == nil) == (choice == .none))
    }

    @Test(
        arguments: [
            #","tool_choice":"sometimes""#, #","tool_choice":{"type":"function"}"#,
            #","tool_choice":{"type":"function","function":{"name":"h"}}"#,
            #","tool_choice":{"type":"custom","custom":{"name":"f"}}"#,
            #","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}"#,
            #","tool_choice":"required","response_format":{"type":"json_object"}"#,
            #","tool_choice":5"#,
        ])
    func whatIsNoneIsRefused(_ members: String) throws {
        let error = #expect(throws: APIError.self) { try Self.request(members) }
        #expect(error?.parameter == "tool_choice")
    }

    @Test func callsAndThoughtsMayBeTurnedDown() throws {
        #expect(try !Self.request("").callsOnce && Self.request("").reasoning == .apart)
        #expect(try Self.request(#","parallel_tool_calls":false"#).callsOnce)
        #expect(try Self.request(#","include_reasoning":false"#).reasoning == .hidden)
        #expect(try Self.request(#","reasoning_format":"none""#).reasoning == .inText)
        #expect(throws: APIError.self) { try Self.request(#","reasoning_format":"x""#) }
    }
}
