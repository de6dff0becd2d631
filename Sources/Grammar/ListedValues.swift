internal import JSONTree

/// The values of an `enum`, of which there may be many thousands.
struct ListedValues {
    private var texts: Set<[UInt8]> = []
    private var others: [JSON] = []

    init(_ values: [JSON]) { for value in values { _ = insert(value) } }

    /// - Returns: false when it is there already.
    mutating func insert(_ value: JSON) -> Bool {
        if let text = value.stringValue { return texts.insert(Array(text.utf8)).inserted }
        guard !contains(value) else { return false }
        others.append(value)
        return true
    }

    func contains(_ value: JSON) -> Bool {
        if let text = value.stringValue { return texts.contains(Array(text.utf8)) }
        return others.contains { $0.isSameValue(as: value) }
    }

    /// Values other than strings are compared one by one.
    static let mostOthers = 2_000
}
