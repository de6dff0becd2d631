internal import Adapters

/// A LoRA adapter in memory, ready to compute. ``LanguageModel/adapter(at:name:)`` reads one.
public struct Adapter: Sendable {
    /// What reports call it.
    public let name: String
    let weights: DeviceAdapter

    /// Of what it computes: equal adapters have equal digests.
    public var digest: String { weights.digest.description }
    /// The largest of its modules.
    public var rank: Int { weights.rank }
    /// Memory that it takes.
    public var byteCount: Int { weights.byteCount }
}
