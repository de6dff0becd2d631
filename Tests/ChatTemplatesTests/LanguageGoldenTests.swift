import ChatTemplates
import Foundation
import JSONTree
import TestSupport
import Testing

/// Jinja's language, piece by piece, against jinja2 as transformers sets it up.
/// scripts/make_template_cases.py makes the goldens.
///
/// `differences.txt` names the cases that differ: each is a fault of ours. One that is mended must leave
/// the list, and none may join it.
struct LanguageGoldenTests {
    private static let folder = Repository.path("Tests/ChatTemplatesTests/Goldens/language")

    @Test func nothingButWhatIsListedDiffers() throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: Self.folder + "/cases.json"))
        let cases = try JSON(parsing: Array(data)).arrayValue ?? []
        #expect(cases.count >= 1000)
        let list = try String(contentsOfFile: Self.folder + "/differences.txt", encoding: .utf8)
        let known = Set(list.split(separator: "\n").map(String.init))
        var differing: Set<String> = []
        for item in cases {
            let text = try? ChatTemplate(item["template"]?.stringValue ?? "").render(
                item["variables"]?.objectValue ?? JSON.Object())
            let expected = item["expected"]?.stringValue
            let agrees =
                switch (text, expected) {
                case (nil, nil): true
                case (let text?, let expected?): text.utf8.elementsEqual(expected.utf8)
                default: false
                }
            if !agrees, let name = item["name"]?.stringValue { differing.insert(name) }
        }
        #expect(differing.subtracting(known).sorted() == [], "new differences")
        #expect(
            known.subtracting(differing).sorted() == [], "these agree now; take them off the list")
    }
}
