import ChatTemplates
import Foundation
import JSONTree
import TestSupport
import Testing

/// Jinja's language, piece by piece, against jinja2 as transformers sets it up.
/// scripts/make_template_cases.py makes the goldens.
///
/// `refused.txt` names the cases that are refused here, by an error that says what is not supported. One
/// that is mended must leave the list, and none may join it. Nothing is rendered in another way.
struct LanguageGoldenTests {
    private static let folder = Repository.path("Tests/ChatTemplatesTests/Goldens/language")

    @Test func everyCaseIsRenderedAsJinjaDoesOrRefused() throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: Self.folder + "/cases.json"))
        let cases = try JSON(parsing: Array(data)).arrayValue ?? []
        #expect(cases.count >= 1000)
        let list = try String(contentsOfFile: Self.folder + "/refused.txt", encoding: .utf8)
        let known = Set(list.split(separator: "\n").map(String.init))
        var refused: Set<String> = []
        for item in cases {
            let name = item["name"]?.stringValue ?? ""
            let expected = item["expected"]?.stringValue
            do {
                let text = try ChatTemplate(item["template"]?.stringValue ?? "").render(
                    item["variables"]?.objectValue ?? JSON.Object())
                let agrees = expected.map { text.utf8.elementsEqual($0.utf8) } ?? false
                #expect(agrees, "\(name): \(text), expected \(expected ?? "an error")")
            } catch {
                if expected != nil { refused.insert(name) }
            }
        }
        #expect(refused.subtracting(known).sorted() == [], "refused from now on")
        #expect(
            known.subtracting(refused).sorted() == [], "these agree now; take them off the list")
    }
}
