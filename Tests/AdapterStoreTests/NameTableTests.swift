import AdapterStore
import Adapters
import Catalog
import TestSupport
import Testing

/// Names by what they stand for, and the other way round.
struct NameTableTests {
    static func alias(
        _ name: String, _ number: Int? = nil, isPinned: Bool = false, isPointed: Bool = false
    ) -> AliasRecord {
        var alias = AliasRecord(name: name, source: "/" + name, created: 1)
        alias.digest = number.map { AdapterDigest.numbered($0).description }
        alias.pinned = isPinned
        alias.revision = isPointed ? "pointed at it" : "1"
        return alias
    }

    @Test func namesStandForWhatWasPutLast() {
        var table = NameTable()
        #expect(table.put(Self.alias("b")) == nil)
        #expect(table.put(Self.alias("a", 1)) == nil)
        #expect(table["b"]?.digest == nil && table["b"]?.alias.source == "/b")
        #expect(table.put(Self.alias("b", 2))?.digest == nil)
        #expect(table.put(Self.alias("b", 1))?.digest == AdapterDigest.numbered(2))
        #expect(table.sorted == ["a", "b"] && table.count == 2)
        #expect(table["b"]?.digest == AdapterDigest.numbered(1) && table["c"] == nil)
        #expect(table.named == [AdapterDigest.numbered(1)])
    }

    @Test func anAdapterIsNamedAsLongAsANameStandsForIt() {
        let (one, two) = (AdapterDigest.numbered(1), AdapterDigest.numbered(2))
        var table = NameTable([
            Self.alias("a", 1), Self.alias("b", 1), Self.alias("c", 2),
            Self.alias("d"),
        ])
        #expect(table.named == [one, two])
        #expect(table.remove("nobody") == nil)
        #expect(table.remove("a")?.digest == one && table.isNamed(one))
        table.put(Self.alias("b", 2))
        #expect(!table.isNamed(one) && table.isNamed(two))
        table.remove("b")
        table.remove("c")
        #expect(table.named.isEmpty && table.sorted == ["d"])
    }

    @Test func aNameThatStandsForItIsFound() {
        let one = AdapterDigest.numbered(1)
        var table = NameTable([
            Self.alias("a", 1), Self.alias("b", 1), Self.alias("c", 2),
        ])
        #expect(table.alias(of: one, preferring: "a")?.name == "a")
        #expect(table.alias(of: one, preferring: "b")?.name == "b")
        table.remove("a")
        // Neither the one that stands for something else nor one that is nobody's.
        #expect(table.alias(of: one, preferring: "c")?.name == "b")
        #expect(table.alias(of: one, preferring: "a")?.name == "b")
        table.remove("b")
        #expect(table.alias(of: one, preferring: "c") == nil)
    }

    @Test func pinsAndRollbacksKeep() {
        let (one, two) = (AdapterDigest.numbered(1), AdapterDigest.numbered(2))
        var table = NameTable([
            Self.alias("a", 1, isPinned: true), Self.alias("b", 1),
            Self.alias("c", 2, isPointed: true), Self.alias("d", isPinned: true),
        ])
        #expect(table.isPinned(one) && !table.isPinned(two))
        #expect(table.kept == [one, two])
        table.put(Self.alias("b", 1, isPinned: true))
        table.put(Self.alias("a", 1))
        #expect(table.isPinned(one) && table.kept == [one, two])
        table.put(Self.alias("c", 2))
        #expect(table.kept == [one])
        table.remove("b")
        #expect(!table.isPinned(one) && table.isNamed(one) && table.kept.isEmpty)
    }

    @Test func whatIsNoDigestIsNone() {
        var alias = Self.alias("a")
        alias.digest = "no digest"
        let table = NameTable([alias])
        #expect(table["a"]?.digest == nil && table["a"]?.alias == alias && table.named.isEmpty)
    }

    /// Against a dictionary, whatever happens.
    @Test(arguments: UInt64(0)..<8)
    func isAlwaysWhatItsNamesSay(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = NameTable()
        var model: [String: AliasRecord] = [:]
        for _ in 0..<400 {
            let name = "n\(Int.random(in: 0..<12, using: &random))"
            if Int.random(in: 0..<3, using: &random) == 0 {
                let (was, expected) = (table.remove(name), model.removeValue(forKey: name))
                #expect(was?.alias == expected)
            } else {
                let number = Int.random(in: 0..<6, using: &random)
                let alias = Self.alias(
                    name, number == 0 ? nil : number, isPinned: .random(using: &random),
                    isPointed: .random(using: &random))
                let (was, expected) = (table.put(alias), model.updateValue(alias, forKey: name))
                #expect(was?.alias == expected)
            }
            let whole = NameTable(model.values)
            #expect(table.sorted == model.keys.sorted() && table.sorted == whole.sorted)
            #expect(table.named == whole.named && table.kept == whole.kept)
            for number in 1..<6 {
                let digest = AdapterDigest.numbered(number)
                let holders = model.values.filter { $0.digest == digest.description }
                #expect(table.isNamed(digest) == !holders.isEmpty)
                #expect(table.isPinned(digest) == holders.contains { $0.pinned })
                let keeps = holders.contains { $0.pinned || $0.revision != "1" }
                #expect(table.kept.contains(digest) == keeps)
            }
        }
    }
}
