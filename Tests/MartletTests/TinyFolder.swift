import Foundation
import TestSupport

/// One of the conformance suite's tiny models as a folder that can be loaded: with a tokenizer of letters and a template.
struct TinyFolder {
    private let folder: TemporaryFolder
    var path: String { folder.url.path }

    init() throws {
        folder = try TemporaryFolder()
        for name in ["config.json", "model.safetensors"] {
            try FileManager.default.createSymbolicLink(
                atPath: folder.path(name),
                withDestinationPath: Repository.conformance("llama/model/" + name))
        }
        let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789Ġ.,"
        let vocabulary = letters.enumerated().map { "\"\($1)\": \($0 + 3)" }
            .joined(separator: ", ")
        let bytes = #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}"#
        try folder.write(
            """
            {"version": "1.0", "normalizer": null, "pre_tokenizer": \(bytes), "decoder": \(bytes),
             "post_processor": null, "added_tokens": [],
             "model": {"type": "BPE", "vocab": {"<s>": 1, "</s>": 2, \(vocabulary)}, "merges": []}}
            """, to: "tokenizer.json")
        let template =
            "{% for m in messages %}{{ m.role[0] }}{{ m.content }}.{% endfor %}"
            + "{% if add_generation_prompt %}a{% endif %}"
        try folder.write(
            "{\"chat_template\": \"\(template)\"}", to: "tokenizer_config.json")
    }
}
