"""The built-in world: cartoon animal heads, drawn from known factors with numpy alone.

`factors.draw` gives every index its factors, `painting.render` paints them, `painting.outline` draws the same heads as
black lines on white. The factors are of three kinds, so that a translation can be measured: *domain* (the species),
*content* (place, scale, tilt, gaze, expression, background) and *style* (colours, pattern, accessory, size of
the ears, side of the markings).

Shapes are given in head units (the head has a half width of about 1, u points right, v points down, the
origin is the centre of the head) and become signed distances in pixels, negative inside; a distance gives the
share of a pixel that a shape covers, which smooths the edges at any size. What makes it fast: a shape is
evaluated only in a small window of each image, over many images at once, and every quadratic form in (u, v)
is one matrix product of a column and a row. A picture does not depend, to the bit, on its company.

Read on in `factors` (what a picture is made of), `animals` (what tells the species apart) and `painting` (what all
have); they draw with the windows of `sheet`, whose shapes are the forms of `forms`.
"""
