"""What the pages of the gateway's console and of a board's portal have in common: style sheet, icon, headers, words for times and
amounts, QR codes. It knows neither of the two; it imports the standard library, jinja2 and segno alone.
"""
