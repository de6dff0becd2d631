/// A file of the page that shows a server, or a router, in a browser. All of them are built into the executable.
package struct PageFile: Sendable {
    package let name: String
    package let bytes: [UInt8]

    package var contentType: String {
        switch name.split(separator: ".").last {
        case "html": "text/html; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        default: "text/javascript; charset=utf-8"
        }
    }

    /// Changes with the content.
    package var tag: String {
        // FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/).
        let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { hash, byte in
            (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return "\"" + String(hash, radix: 16) + "\""
    }

    package static let index = PageFile(name: "index.html", bytes: PackageResources.index_html)

    /// What the index asks for, below `page/`.
    package static let parts = [
        PageFile(name: "access.js", bytes: PackageResources.access_js),
        PageFile(name: "adapters.js", bytes: PackageResources.adapters_js),
        PageFile(name: "advice.js", bytes: PackageResources.advice_js),
        PageFile(name: "answer.js", bytes: PackageResources.answer_js),
        PageFile(name: "api.js", bytes: PackageResources.api_js),
        PageFile(name: "app.js", bytes: PackageResources.app_js),
        PageFile(name: "ask.js", bytes: PackageResources.ask_js),
        PageFile(name: "cells.js", bytes: PackageResources.cells_js),
        PageFile(name: "dom.js", bytes: PackageResources.dom_js),
        PageFile(name: "format.js", bytes: PackageResources.format_js),
        PageFile(name: "key.js", bytes: PackageResources.key_js),
        PageFile(name: "lanes.js", bytes: PackageResources.lanes_js),
        PageFile(name: "manage.js", bytes: PackageResources.manage_js),
        PageFile(name: "metrics.js", bytes: PackageResources.metrics_js),
        PageFile(name: "now.js", bytes: PackageResources.now_js),
        PageFile(name: "page.css", bytes: PackageResources.page_css),
        PageFile(name: "picker.js", bytes: PackageResources.picker_js),
        PageFile(name: "replicas.js", bytes: PackageResources.replicas_js),
        PageFile(name: "sections.css", bytes: PackageResources.sections_css),
        PageFile(name: "store.js", bytes: PackageResources.store_js),
        PageFile(name: "stream.js", bytes: PackageResources.stream_js),
        PageFile(name: "strip.js", bytes: PackageResources.strip_js),
        PageFile(name: "table.js", bytes: PackageResources.table_js),
    ]
}
