internal import Crypto
internal import Tensors

/// SHA-256 over texts and bytes of which each is marked off from the next.
struct TextHash {
    private var hash = SHA256()
    /// Tensors of which the bytes are in it, by their places, and their numbers.
    private var scattered: [String: Int] = [:]

    mutating func add(_ text: String) {
        hash.update(data: Array("\(text.utf8.count):\(text)".utf8))
    }

    mutating func add(_ name: String, _ tensor: StoredTensor) {
        if let packed = tensor.packed {
            add("\(name) \(tensor.shape), packed, from \(tensor.firstRow): \(packed.layout)")
            for part in tensor.parts { add(part.name, part) }
            return
        }
        add("\(name) \(tensor.type.rawValue) \(tensor.shape) \(tensor.rowOrder)")
        if tensor.offset != 0 { add("and \(tensor.offset)") }
        let range = tensor.byteRange
        // Many matrices may be parts of one tensor.
        if case .scattered = tensor.rowOrder {
            let place = "\(tensor.file.path) \(range)"
            add("\(scattered[place] ?? scattered.count)")
            guard scattered[place] == nil else { return }
            scattered[place] = scattered.count
        }
        for start in stride(from: range.lowerBound, to: range.upperBound, by: 1 << 20) {
            let end = min(start + 1 << 20, range.upperBound)
            add(tensor.file.bytes(in: start..<end) ?? [])
        }
    }

    mutating func add(_ bytes: [UInt8]) { hash.update(data: bytes) }

    var bytes: [UInt8] { Array(hash.finalize()) }
}
