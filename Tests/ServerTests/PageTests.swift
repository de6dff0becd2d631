import Foundation
import HTTPTypes
import Page
import TestSupport
import Testing

/// The page that shows a server in a browser. What it does there is checked in a browser: Tests/EndToEnd/page.py.
struct PageTests {
    private static let folder = Repository.path("Sources/Page")

    @Test func everyFileIsBuiltInAndNoOther() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder)
            .filter { !$0.hasSuffix(".swift") }
        let files = PageFile.parts + [PageFile.index]
        #expect(Set(names) == Set(files.map(\.name)) && names.count == files.count)
        for file in files {
            let url = URL(fileURLWithPath: Self.folder + "/" + file.name)
            #expect(try Data(contentsOf: url) == Data(file.bytes), "\(file.name)")
        }
        #expect(files.reduce(0) { $0 + $1.bytes.count } < 130_000)
    }

    /// Names and texts come from outside: nothing of the page makes elements of them, and nothing is asked of elsewhere.
    @Test func nothingOfItIsUnsafe() {
        for file in PageFile.parts + [PageFile.index] {
            let text = String(decoding: file.bytes, as: UTF8.self)
            for word in [
                "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                "new Function", "src=\"http", "href=\"http", "from 'http", "url(", " style=\"",
                " onclick=",
            ] {
                #expect(!text.contains(word), "\(file.name): \(word)")
            }
        }
    }

    /// Whoever the server asks for keys gets the page too, which asks for one.
    @Test(arguments: [false, true])
    func itIsServedToEverybody(hasKeys: Bool) async throws {
        try await TinyServer.run(hasKeys: hasKeys) { server in
            let index = try await server.send(.get, "/")
            #expect(index.status == 200 && index.text.hasPrefix("<!doctype html>"))
            #expect(index.headers[.contentType] == "text/html; charset=utf-8")
            let policy = index.headers[.contentSecurityPolicy] ?? ""
            #expect(policy.contains("default-src 'none'") && !policy.contains("unsafe"))
            let parts = index.text.matches(of: /(?:href|src)="\.\/(page\/[^"]+)"/)
            #expect(parts.count == 3)
            for part in parts {
                let file = try await server.send(.get, "/\(part.1)")
                #expect(file.status == 200 && file.headers[.eTag] != nil, "\(part.1)")
                #expect(file.headers[.xContentTypeOptions] == "nosniff")
            }
            let imported = Set(
                PageFile.parts.flatMap { file in
                    String(decoding: file.bytes, as: UTF8.self).matches(of: /from '\.\/([^']+)'/)
                        .map { String($0.1) }
                })
            #expect(imported.isSubset(of: Set(PageFile.parts.map(\.name))))
            var known = HTTPFields()
            known[.ifNoneMatch] = index.headers[.eTag]
            let again = try await server.send(.get, "/", headers: known)
            #expect(again.status == 304 && again.text.isEmpty)
            for path in ["/page/none.js", "/page/", "/page/..%2Fapp.js", "/page/app.js/x"] {
                #expect(try await server.send(.get, path).status == 404, "\(path)")
            }
            #expect(try await server.send(.post, "/", "{}").status == 405)
        }
    }
}
