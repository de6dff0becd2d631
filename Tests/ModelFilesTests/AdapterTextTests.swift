import Foundation
import JSONTree
import ModelFiles
import TestSupport
import Testing

/// What an adapter says beside its weights is understood, or refused by the name of the field.
struct AdapterTextTests {
    private let folder: TemporaryFolder
    private let base: Checkpoint

    init() throws {
        folder = try TemporaryFolder()
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            let path = Repository.conformance("llama/plain") + "/" + file
            try FileManager.default.copyItem(atPath: path, toPath: folder.path(file))
        }
        // The suite's model, with a tokenizer of three tokens.
        let model = Repository.conformance("llama/model")
        for file in try FileManager.default.contentsOfDirectory(atPath: model) {
            try FileManager.default.createDirectory(
                atPath: folder.path("base"), withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                atPath: model + "/" + file, toPath: folder.path("base/" + file))
        }
        try folder.write(
            #"{"added_tokens":[{"id":5,"content":"<end>"}],"model":{"vocab":{"a":3,"</s>":2}}}"#,
            to: "base/tokenizer.json")
        try folder.write(
            #"{"chat_template":"base","bos_token":"a","add_bos_token":false}"#,
            to: "base/tokenizer_config.json")
        base = try Checkpoint.open(path: folder.path("base"))
    }

    private func open() throws -> AdapterFile {
        try AdapterFile.open(path: folder.url.path, base: base, limits: AdapterLimits())
    }

    @Test func whatTheFilesSayIsTaken() throws {
        #expect(try open().text == nil)
        try folder.write(
            """
            {"chat_template":[{"name":"default","template":"d"},{"name":"tool_use","template":"t"}],
            "eos_token":{"content":"<end>"},"bos_token":null,"add_bos_token":false,"padding_side":"left",
            "additional_special_tokens":["</s>"],"added_tokens_decoder":{"5":{"content":"<end>"}}}
            """, to: "tokenizer_config.json")
        var text = try #require(try open().text)
        #expect(text.chatTemplate(forTools: false) == "d")
        #expect(text.chatTemplate(forTools: true) == "t")
        #expect(text.endTokens == [5] && text.templateVariables["eos_token"] == "<end>")
        #expect(AdapterText(text.json, vocabularySize: 6) == text)
        #expect(AdapterText(text.json, vocabularySize: 5) == nil)
        // A file of its own wins, as in transformers.
        try folder.write("own", to: "chat_template.jinja")
        try folder.write(
            #"{"eos_token_id":2,"temperature":0.5,"do_sample":true,"max_new_tokens":9,"num_beams":1}"#,
            to: "generation_config.json")
        text = try #require(try open().text)
        #expect(text.chatTemplate(forTools: true) == "own")
        #expect(text.generation?.endTokens == [2] && text.generation?.temperature == 0.5)
        #expect(text.generation?.maximumTokens == 9)
        #expect(AdapterText(text.json, vocabularySize: 6) == text)
    }

    @Test(
        arguments: [
            ("tokenizer_config.json", #"{"pad_token":"[PAD]"}"#, "pad_token"),
            ("tokenizer_config.json", #"{"extra_special_tokens":{"x":"<x>"}}"#, "extra_special"),
            (
                "tokenizer_config.json", #"{"added_tokens_decoder":{"6":{"content":"<end>"}}}"#,
                "added_tokens_decoder"
            ),
            (
                "tokenizer_config.json", #"{"added_tokens_decoder":{"6":{"content":"new"}}}"#,
                "added_tokens_decoder"
            ),
            ("tokenizer_config.json", #"{"add_bos_token":true}"#, "add_bos_token"),
            ("tokenizer_config.json", #"{"split_special_tokens":true}"#, "split_special_tokens"),
            ("tokenizer_config.json", #"{"chat_template":5}"#, "chat_template"),
            ("tokenizer_config.json", "[]", "object"),
            ("generation_config.json", #"{"num_beams":4}"#, "num_beams"),
            ("generation_config.json", #"{"suppress_tokens":[1]}"#, "suppress_tokens"),
            ("generation_config.json", #"{"something_new":1}"#, "something_new"),
            ("generation_config.json", #"{"eos_token_id":100000}"#, "eos_token_id"),
            ("generation_config.json", #"{"eos_token_id":"x"}"#, "eos_token_id"),
            ("generation_config.json", #"{"max_new_tokens":0}"#, "max_new_tokens"),
            ("generation_config.json", #"{"do_sample":true,"top_p":7}"#, "top_p"),
            ("generation_config.json", "{", "generation_config.json"),
            ("additional_chat_templates/x.jinja", "x", "additional_chat_templates"),
            ("chat_template.jinja", String(repeating: "x", count: 2 << 20), "longer than"),
        ])
    func whatCannotBeHonouredIsRefusedByName(
        _ file: String, _ content: String, _ name: String
    ) throws {
        try folder.write(content, to: file)
        let error = #expect(throws: ModelFileError.self) { try open() }
        #expect(error?.message.contains(name) == true, "\(String(describing: error))")
    }

    @Test func aTemplateThatIsNoTextIsRefused() throws {
        try folder.write([0x7B, 0xFF, 0xFE], to: "chat_template.jinja")
        let error = #expect(throws: ModelFileError.self) { try open() }
        #expect(error?.code.description == "malformed_file")
    }
}
