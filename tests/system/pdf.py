"""PDFs written by hand: long ones, and such as end their parser."""


def stream(content, extra=""):
    return f"<< /Length {len(content)}{extra} >>\nstream\n".encode() + content + b"\nendstream"


def pdf(objects):
    """A PDF of the objects' bytes; object 1 is the catalog, the numbers go on from there."""
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer\n<< /Size {len(places) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def with_page(content, resources, *more):
    """One page; `more` are objects from number 6 on, for the resources to name."""
    return pdf([b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> "
                + resources + b" >> >>",
                stream(content), FONT, *more])


def pages(texts):
    """A page for each text, which is a list of lines."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", FONT]
    kids = []
    for lines in texts:
        content = "BT /F 5 Tf 7 TL 20 780 Td\n" + "".join(f"({line}) Tj T*\n" for line in lines) + "ET"
        objects.append(stream(content.encode()))
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R "
                       "/Resources << /Font << /F 3 0 R >> >> >>".encode())
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    return pdf(objects)


def that_never_ends(mark=""):
    """Forms that draw the next one ten times, a dozen deep: hours of work on one page."""
    forms = [stream(b"/X Do " * 10 if i < 11 else b"BT /F 8 Tf (x) Tj ET",
                    f" /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /Font << /F 5 0 R >> /XObject << /X {7 + i} 0 R >> >>")
             for i in range(12)]
    return with_page(b"/X Do", b"/XObject << /X 6 0 R >>", *forms) + mark.encode()


def that_crashes(mark=""):
    """A function nested more deeply than any stack is."""
    deep = b"{" * 3_000_000 + b"}" * 3_000_000
    return with_page(b"/S cs 0.5 sc BT /F 8 Tf 9 TL 20 780 Td (x) Tj ET",
                     b"/ColorSpace << /S [/Separation /Spot /DeviceRGB 6 0 R] >>",
                     stream(deep, " /FunctionType 4 /Domain [0 1] /Range [0 1 0 1 0 1]")) + mark.encode()
