internal import Crypto
internal import Foundation
package import OpenAIWire

/// Whoever a key was given to, and what they may.
package struct KeyHolder: Sendable, Equatable {
    package let name: String
    package let terms: KeyTerms

    package var isAdmin: Bool { terms.role == .admin }

    package init(name: String, terms: KeyTerms) {
        self.name = name
        self.terms = terms
    }
}

/// The keys of a file: one line a key, `name: key`. The name `admin` may do everything, others may ask every model.
package struct APIKeys: Sendable {
    /// By the key's hash, so that comparing takes the same time whatever the key.
    let holders: [[UInt8]: KeyHolder]

    /// - Throws: `APIKeysError` naming the line at fault, never a key.
    package init(text: String) throws(APIKeysError) {
        var holders: [[UInt8]: KeyHolder] = [:]
        // By scalars: to Swift's strings the line end of Windows is one character.
        let lines = text.unicodeScalars.split(omittingEmptySubsequences: false) { $0 == "\n" }
        for (index, line) in lines.map({ String($0) }).enumerated() {
            let line = line.trimmingCharacters(in: .whitespacesAndNewlines)
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let colon = line.firstIndex(of: ":") else {
                throw APIKeysError("line \(index + 1) is not of the form \"name: key\"")
            }
            let name = line[..<colon].trimmingCharacters(in: .whitespaces)
            let key = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            guard !name.isEmpty, key.utf8.count >= 8, !key.contains(" ") else {
                throw APIKeysError(
                    "line \(index + 1) lacks a name, or its key has fewer than 8 characters or a space"
                )
            }
            let terms = KeyTerms(role: name == "admin" ? .admin : .caller)
            let holder = KeyHolder(name: name, terms: terms)
            guard holders.updateValue(holder, forKey: APIKeys.hash(key)) == nil else {
                throw APIKeysError("the key in line \(index + 1) stands twice")
            }
        }
        guard !holders.isEmpty else { throw APIKeysError("there is no key") }
        self.holders = holders
    }

    static func hash(_ key: String) -> [UInt8] { Array(SHA256.hash(data: Array(key.utf8))) }
}

/// A key file that cannot be used.
package struct APIKeysError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
