import AdapterStore
import Foundation
import Tensors
import TestSupport
import Testing

/// Folders for the files of sources, and what becomes of them.
struct TemporaryStagingTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.url.path).sorted()
    }

    @Test func eachSourceHasAFolderOfItsOwn() throws {
        let staging = TemporaryStaging(in: folder.url.path)
        #expect(try names() == [])
        let first = try staging.makeFolder()
        let second = try staging.makeFolder()
        #expect(first != second)
        for path in [first, second] {
            #expect(try FileManager.default.contentsOfDirectory(atPath: path) == [])
        }
        #expect(try names().count == 1)
        staging.remove()
        #expect(try names() == [])
        // What was removed is made again.
        let third = try staging.makeFolder()
        #expect(FileManager.default.fileExists(atPath: third))
        staging.remove()
    }

    @Test func nothingIsLeftOfOneThatNobodyHas() throws {
        do {
            let staging = TemporaryStaging(in: folder.url.path)
            _ = try staging.makeFolder()
        }
        #expect(try names() == [])
    }

    /// A stop comes while files are still written.
    @Test func aClosedOneLeavesNothingBehindItsWriters() throws {
        let staging = TemporaryStaging(in: folder.url.path)
        let path = try staging.makeFolder()
        try Data([1]).write(to: URL(fileURLWithPath: path + "/adapter_config.json"))
        staging.close()
        #expect(throws: LibraryError.self) { try staging.makeFolder() }
        #expect(!FileManager.default.createFile(atPath: path + "/late", contents: Data([1])))
        #expect(try names() == [])
    }

    @Test func whatIsInUseStays() throws {
        let staging = TemporaryStaging(in: folder.url.path)
        let path = try staging.makeFolder()
        TemporaryStaging(in: folder.url.path).removeLeftovers()
        #expect(FileManager.default.fileExists(atPath: path))
        staging.remove()
    }

    @Test func whatAKillLeftBehindGoes() throws {
        // As they lie there when nobody holds the lock any more.
        try folder.write("", to: "martlet-staging-old/lock")
        try folder.write([1, 2, 3], to: "martlet-staging-old/a/adapter_model.safetensors")
        // Without a lock it may be somebody's who is just making it.
        try folder.write("", to: "martlet-staging-new/a/adapter_config.json")
        try folder.write("", to: "martlet-staging-lost/a/adapter_config.json")
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSinceNow: -7200)],
            ofItemAtPath: folder.path("martlet-staging-lost"))
        // Not ours.
        try folder.write("", to: "martlet-other/lock")
        try folder.write("", to: "martlet-staging-file")
        try FileManager.default.createSymbolicLink(
            atPath: folder.path("martlet-staging-link"), withDestinationPath: "martlet-other")
        TemporaryStaging(in: folder.url.path).removeLeftovers()
        #expect(
            try names() == [
                "martlet-other", "martlet-staging-file", "martlet-staging-link",
                "martlet-staging-new",
            ])
        #expect(FileManager.default.fileExists(atPath: folder.path("martlet-other/lock")))
    }

    @Test func aFolderThatIsHeldIsNotLeftBehind() throws {
        try folder.write("", to: "x/lock")
        let path = folder.path("x")
        do {
            let lock = try #require(FolderLock(leftBehind: path))
            #expect(FolderLock(leftBehind: path) == nil)
            withExtendedLifetime(lock) {}
        }
        #expect(FolderLock(leftBehind: path) != nil)
        #expect(FolderLock(leftBehind: folder.path("none")) == nil)
    }
}
