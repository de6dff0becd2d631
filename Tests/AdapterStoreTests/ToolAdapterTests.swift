import AdapterSources
import AdapterStore
import Adapters
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// What training tools leave in a folder is served from there, by its path.
struct ToolAdapterTests {
    @Test(arguments: [
        ("tools/llama", "mlx"), ("tools/llama", "hf-trainer"), ("tools/llama", "peft-resized"),
        ("tools/llama", "peft-scores-2"), ("tools/llama", "gguf/head.gguf"),
        ("tools/tied", "spare-tokens"),
    ])
    func foldersOfToolsAreServed(_ family: String, _ name: String) async throws {
        let base = try Checkpoint.open(path: Repository.family(family) + "/model")
        let path = Repository.family(family) + "/" + name
        let library = try AdapterLibrary(
            configuration: AdapterLibrary.Configuration(), base: base, format: .bf16,
            sources: try SourceClient(), disk: nil, catalog: nil)
        try await library.adopt([("a", try AdapterSource(path))], keepsOthers: false)
        let lease = try await library.lease("a")
        let file = try AdapterFile.open(path: path, base: base, limits: AdapterLimits())
        let expected = try DeviceAdapter(file, base: base, format: .bf16)
        #expect(lease.adapter.digest == expected.digest && lease.adapter.text == expected.text)
        let source = try AdapterSource(path)
        let revision = try await SourceClient().pin(source).revision
        #expect(source.isUnchanged(since: revision))
    }
}
