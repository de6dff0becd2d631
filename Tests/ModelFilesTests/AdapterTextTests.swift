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
        try folder.copyAdapter(Repository.conformance("llama/plain"))
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
                #""<end>" as 6"#
            ),
            (
                "tokenizer_config.json", #"{"added_tokens_decoder":{"3":{"content":"new"}}}"#,
                #"3 is "new", in the base it is "a""#
            ),
            (
                "tokenizer_config.json", #"{"added_tokens_decoder":{"5000000":{"content":"new"}}}"#,
                "added_tokens_decoder"
            ),
            (
                "tokenizer_config.json", #"{"added_tokens_decoder":{"7":{"content":""}}}"#,
                "added_tokens_decoder"
            ),
            ("tokenizer.json", #"{"added_tokens":[{"id":7}]}"#, "added_tokens"),
            (
                "tokenizer.json",
                #"{"added_tokens":[{"id":7,"content":"\#(String(repeating: "x", count: 257))"}]}"#,
                "256 bytes"
            ),
            (
                "tokenizer_config.json",
                #"{"added_tokens_decoder":{"7":{"content":"\#(String(repeating: "x", count: 257))"}}}"#,
                "256 bytes"
            ),
            (
                "tokenizer.json", "[" + String(repeating: "0,", count: 4 << 20) + "0]",
                "more than 4194304 values"
            ),
            ("tokenizer.json", "[", "tokenizer.json"),
            (
                "tokenizer.json",
                #"{"model":{"vocab":{"a":3,"</s>":2}},"added_tokens":[{"id":7,"content":"x"},{"id":7,"content":"y"}]}"#,
                "two tokens"
            ),
            (
                "tokenizer.json",
                #"{"model":{"vocab":{"a":3,"</s>":2,"b":9}},"added_tokens":[{"id":5,"content":"<end>"}]}"#,
                "vocabulary"
            ),
            (
                "tokenizer.json",
                #"{"model":{"vocab":{"a":3}},"added_tokens":[{"id":5,"content":"<end>"}]}"#,
                "vocabulary"
            ),
            (
                "tokenizer.json",
                #"{"model":{"vocab":{"a":3,"</s>":2},"merges":["a a"]},"added_tokens":[{"id":5,"content":"<end>"}]}"#,
                "merges"
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

    @Test func tokensAndTheWayToMakeThemAreTaken() throws {
        try folder.write(
            """
            {"truncation":{"max_length":9},"normalizer":{"type":"NFC"},"pre_tokenizer":null,
            "model":{"type":"BPE","dropout":null,"fuse_unk":false,"merges":[],"vocab":{"</s>":2,"a":3}},
            "added_tokens":[{"id":5,"content":"<end>"},{"id":3,"content":"a","special":true,"lstrip":true},
            {"id":7,"content":"<new>","special":true,"normalized":false}]}
            """, to: "tokenizer.json")
        try folder.write(
            #"{"eos_token":"<new>","added_tokens_decoder":{"5":{"content":"<end>","special":true},"8":{"content":"<more>"}}}"#,
            to: "tokenizer_config.json")
        let text = try #require(try open().text)
        #expect(text.addedTokens.map(\.id) == [5, 3, 7, 8])
        #expect(text.addedTokens[1].stripsLeft && text.addedTokens[1].isSpecial)
        #expect(text.addedTokens[2].isSpecial && !text.addedTokens[2].isNormalized)
        #expect(text.endTokens == [7])
        let parts = try #require(text.tokenizer)
        #expect(parts["normalizer"]?["type"] == "NFC" && parts["model"]?["fuse_unk"] == false)
        #expect(parts["model"]?["vocab"] == nil && parts["model"]?["merges"] == nil)
        #expect(AdapterText(text.json, vocabularySize: 9) == text)
        let short = try JSON(parsing: Array(text.summary.utf8))
        #expect(short["added_tokens"] == 4 && short["tokenizer"] == "its own")
        // The base's file adds nothing.
        try FileManager.default.removeItem(atPath: folder.path("tokenizer.json"))
        try FileManager.default.removeItem(atPath: folder.path("tokenizer_config.json"))
        try FileManager.default.copyItem(
            atPath: folder.path("base/tokenizer.json"), toPath: folder.path("tokenizer.json"))
        #expect(try open().text == nil)
    }

    /// Older tools write no other file of tokens; what they say of the base's tokens counts too.
    @Test func settingsWithoutATokenizerFileAreTaken() throws {
        try folder.write(
            #"{"added_tokens_decoder":{"5":{"content":"<end>","special":true,"lstrip":true},"7":{"content":"<new>"}}}"#,
            to: "tokenizer_config.json")
        let text = try #require(try open().text)
        #expect(text.addedTokens.map(\.id) == [5, 7] && text.tokenizer == nil)
        #expect(text.addedTokens[0].isSpecial && text.addedTokens[0].stripsLeft)
    }

    /// A base's own configuration may list tokens that its tokenizer does not have.
    @Test func tokensThatOnlyTheBasesConfigurationListsAreNew() throws {
        try folder.write(
            #"{"added_tokens_decoder":{"9":{"content":"<listed>"}}}"#,
            to: "base/tokenizer_config.json")
        try folder.write(
            #"{"added_tokens_decoder":{"9":{"content":"<listed>"}},"eos_token":"<listed>"}"#,
            to: "tokenizer_config.json")
        let file = try AdapterFile.open(
            path: folder.url.path, base: try Checkpoint.open(path: folder.path("base")),
            limits: AdapterLimits())
        #expect(file.text?.addedTokens.map(\.content) == ["<listed>"])
        #expect(file.text?.endTokens == [9])
    }

    /// Tools rename tokens that a base has reserved; those that are parts of words keep their names.
    @Test func reservedTokensMayGetAnotherName() throws {
        try folder.write(
            #"{"model":{"vocab":{"a":3,"</s>":2}},"added_tokens":[{"id":5,"content":"<tool>"}]}"#,
            to: "tokenizer.json")
        #expect(try open().text?.addedTokens.map(\.content) == ["<tool>"])
        try folder.write(
            #"{"model":{"vocab":{"a":3,"</s>":2}},"added_tokens":[{"id":3,"content":"<tool>"}]}"#,
            to: "tokenizer.json")
        #expect(throws: ModelFileError.self) { try open() }
    }

    @Test func aTemplateThatIsNoTextIsRefused() throws {
        try folder.write([0x7B, 0xFF, 0xFE], to: "chat_template.jinja")
        let error = #expect(throws: ModelFileError.self) { try open() }
        #expect(error?.code.description == "malformed_file")
    }
}
