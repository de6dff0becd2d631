package import Adapters
internal import ModelFiles

/// What a text is written with: the base, or an adapter on it.
package struct TextModel: Sendable {
    package let adapter: DeviceAdapter?
    /// What reports call the adapter.
    let name: String?
    /// Keeps the adapter where it is until the text is written.
    let lease: (any AnyObject & Sendable)?

    package static let base = TextModel(nil, name: nil)

    /// Whether texts become other tokens with it than with the base.
    package var hasOwnTokenizer: Bool { adapter?.text?.hasOwnTokenizer == true }

    package init(
        _ adapter: DeviceAdapter?, name: String?, lease: (any AnyObject & Sendable)? = nil
    ) {
        self.adapter = adapter
        self.name = name
        self.lease = lease
    }
}
