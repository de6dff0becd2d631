package import Adapters

/// Keeps an adapter in RAM while it lives.
package final class AdapterLease: Sendable {
    package let adapter: DeviceAdapter
    /// What the request called it.
    package let name: String
    /// Where it was when it was asked for.
    package let tier: AdapterEntry.Tier
    private let isRequest: Bool
    /// Of a mix.
    private let parts: [AdapterLease]
    private let library: AdapterLibrary

    /// Takes over a lease that the host tier has counted.
    init(
        adapter: DeviceAdapter, name: String, tier: AdapterEntry.Tier, isRequest: Bool,
        parts: [AdapterLease] = [], library: AdapterLibrary
    ) {
        self.adapter = adapter
        self.name = name
        self.tier = tier
        self.isRequest = isRequest
        self.parts = parts
        self.library = library
    }

    deinit { library.releaseSoon(adapter.digest, isRequest: isRequest) }
}
