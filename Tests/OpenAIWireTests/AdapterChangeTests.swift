import JSONTree
import OpenAIWire
import Testing

/// What operators ask of adapters is read, or named in a refusal.
struct AdapterChangeTests {
    static func put(_ text: String) throws -> AdapterPut { try AdapterPut(try JSON(parsing: text)) }

    @Test func aNameStandsForASourceOrADigest() throws {
        let source = try Self.put(#"{"source": "hf:a/b", "replaces": false, "if_digest": "x"}"#)
        #expect(source.content == .source("hf:a/b") && !source.replaces)
        #expect(source.expectedDigest == "x")
        let digest = try Self.put(#"{"digest": "d"}"#)
        #expect(digest.content == .digest("d") && digest.replaces && digest.expectedDigest == nil)
    }

    @Test(arguments: [
        ("{}", "missing_parameter", "source"),
        (#"{"source": ""}"#, "missing_parameter", "source"),
        (#"{"source": "a", "digest": "b"}"#, "missing_parameter", "source"),
        (#"{"source": "a", "replaces": 1}"#, "invalid_type", "replaces"),
        (#"{"digest": "b", "replaces": false}"#, "invalid_value", "replaces"),
        (#"{"source": "a", "sources": "b"}"#, "unsupported_parameter", "sources"),
    ])
    func refusalsNameTheParameter(text: String, code: String, parameter: String) throws {
        let error = #expect(throws: APIError.self) { try Self.put(text) }
        #expect(error?.code == code && error?.parameter == parameter && error?.status == 400)
    }
}
